"""Loading the user's own Python files, named on the command line, in this and other processes."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from rootbound.core.errors import InputError, take_first_line

PREFIX = "rootbound_user_"
"""Prefix of the module names of these files; no import statement finds them."""


def load_code(path: str | Path) -> ModuleType:
    """Run a Python file unless it was run before; return the module.

    Raises:
        InputError: There is no such file, or it cannot be run.
    """
    path = Path(path).resolve()
    name = _name_module(path)
    if (known := sys.modules.get(name)) is not None:
        return known
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None or not path.is_file():
        raise InputError(f"a Python file at {path}", "no such file", "check the path")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's file may raise anything
        del sys.modules[name]
        reason = f"{type(error).__name__}: {take_first_line(error)}"
        raise InputError(f"to be able to run {path}", reason, "correct the file") from None
    return module


def _name_module(path: Path) -> str:
    """Return the module name of a file, which is unique even if two files have the same name."""
    name = PREFIX + re.sub(r"\W", "_", path.stem)
    known = sys.modules.get(name)
    if known is None or known.__file__ == str(path):
        return name
    return f"{name}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def load_named(name: str) -> object | None:
    """Return the object that `file.py:name` names, after running the file; None for other texts.

    Raises:
        InputError: There is no such file or name, or the file cannot be run.
    """
    path, _, attribute = name.rpartition(":")
    if not path.endswith(".py"):
        return None
    module = load_code(path)
    if not hasattr(module, attribute):
        raise InputError(
            f"{attribute or 'a name after the colon'} in {path}",
            "none of that name",
            "check the name",
        )
    named: object = getattr(module, attribute)
    return named


def make_importable_name(name: str) -> str:
    """Return the dotted name of the object that `file.py:name` names; other names unchanged.

    Raises:
        InputError: As `load_named` does.
    """
    if load_named(name) is None:
        return name
    path, _, attribute = name.rpartition(":")
    return f"{load_code(path).__name__}.{attribute}"


def list_loaded_code() -> list[ModuleType]:
    """Return the modules of the user's files, in the order in which they were loaded."""
    return [module for name, module in sys.modules.items() if name.startswith(PREFIX)]


class CarriedCode:
    """Loads the files that were loaded here in any process that unpickles it.

    It is sent to a process before the work that needs these files.
    """

    def __reduce__(self) -> tuple[Callable[[list[str]], CarriedCode], tuple[list[str]]]:
        """Pickle the full paths of the files."""
        return _load_files, ([str(module.__file__) for module in list_loaded_code()],)


def _load_files(paths: list[str]) -> CarriedCode:
    for path in paths:
        load_code(path)
    return CarriedCode()
