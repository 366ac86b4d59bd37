"""Errors for options and settings that do not exist, with a guess at what was meant."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from jsonargparse import ArgumentError

from rootbound.core.errors import InputError, unknown_name_error

REFUSED = re.compile(
    r"(?:Group '(?P<group>[^']+)' does not accept o|O)ption '(?P<option>[^']+)'"
    r"|unrecognized arguments: (?P<argument>-+\w[^\s=]+)"
)
"""The parser's message for a name that it does not know."""
WRONG_TYPE = re.compile(
    r"Parser key \"(?P<key>\w+)\":\s+Expected a <class '(?P<kind>\w+)'>\. "
    r"Got value: (?P<value>.*)",
    re.DOTALL,
)
"""The parser's message for a value of another type."""
KINDS = {
    "int": ("a whole number", "correct it"),
    "float": ("a number", "correct it"),
    "str": ("one text", "put it in quotes, as in 'cat,dog'"),
    "bool": ("true or false", "correct it"),
}
"""A description of each type for users, and advice on a wrong value."""
CLASS = re.compile(r"class_path '(?P<path>[\w.]+)'")


def unknown_option_error(flag: str, known: Iterable[str]) -> InputError:
    """Return the error for an option that a command does not have, with the nearest it has.

    Args:
        flag: The option as it was written; the part after a dot is ignored.
        known: All options, with their dashes.
    """
    names = [one for one in known if one.startswith("--") and "." not in one and one[-1] != "+"]
    return unknown_name_error("known option", flag.partition(".")[0], names)


def explain(error: ArgumentError, known: Iterable[str]) -> Exception:
    """Return a better error for the parser's, if it is about an unknown name or a wrong type.

    Args:
        error: The parser's error.
        known: All options of the command, with their dashes.
    """
    if (wrong := WRONG_TYPE.search(str(error))) is not None and wrong["kind"] in KINDS:
        (wanted, fix), option = KINDS[wrong["kind"]], wrong["key"].replace("_", "-")
        return InputError(f"{wanted} in --{option}", wrong["value"], fix)
    if (found := REFUSED.search(str(error))) is None:
        return error
    name = ".".join(filter(None, (found["group"], found["option"], found["argument"])))
    if (named := CLASS.search(str(error))) is None:
        return unknown_option_error(name if name.startswith("-") else f"--{name}", known)
    kind = _find_class(named["path"])
    return error if kind is None else unknown_setting_error(kind, name.lstrip("-"), "--method.")


def unknown_setting_error(kind: type[Any], name: str, prefix: str = "") -> InputError:
    """Return the error for a setting that a class does not have, with the nearest it has.

    Args:
        kind: The class.
        name: The setting; nested ones have a dot.
        prefix: The prefix with which it was written.
    """
    return unknown_name_error(f"setting of {kind.__name__}", name, _list_settings(kind), prefix)


def check_settings(kind: type[Any], names: Iterable[str]) -> None:
    """Raise an error if a class has no setting of a name, since the parser accepts prefixes.

    Raises:
        InputError: There is no such setting.
    """
    known = set(_list_settings(kind))
    for name in names:
        head, dot, _ = name.partition(".")
        inside = any(one.startswith(f"{head}.") for one in known)
        if name not in known and not (dot and head in known and not inside):
            raise unknown_setting_error(kind, name)


def _find_class(path: str) -> type[Any] | None:
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError):
        return None
    return kind if isinstance(kind, type) else None


def _list_settings(kind: type[Any]) -> Iterator[str]:
    """Yield the names of all settings of a class; nested ones have a dot."""
    if not is_dataclass(kind):
        yield from (name for name in inspect.signature(kind).parameters if name != "self")
        return
    hints = get_type_hints(kind)
    for part in fields(kind):
        if not part.init:
            continue
        yield part.name
        if is_dataclass(hints[part.name]):
            inner: Any = hints[part.name]
            yield from (f"{part.name}.{name}" for name in _list_settings(inner))
