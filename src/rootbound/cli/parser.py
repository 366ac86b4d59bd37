"""Options as frozen dataclasses: their fields make the parser, which makes their values.

A command has a dataclass `Options`. A field with a docstring is an option; without a default it is
an argument known by its position. A field whose default is a dataclass itself is a group of options
that several commands share: they stand beside the others, with the group's values as defaults.
"""

from __future__ import annotations

import ast
import functools
import inspect
import operator
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from types import ModuleType, NoneType, UnionType
from typing import Any, get_args, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from rootbound.cli.misspelt import explain, unknown_option
from rootbound.core.errors import InputError


class _Parser(ArgumentParser):
    """Takes no beginning of a name for the name, nor do the parsers that it makes for settings."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, allow_abbrev=False, **settings)


def parser_of(name: str, command: ModuleType) -> ArgumentParser:
    """Return the parser of a command's options."""
    parser = _Parser(prog=f"rootbound {name}", description=command.__doc__, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    _add_options(parser, command.Options)
    return parser


def read_options(command: ModuleType, words: Sequence[str]) -> Any:
    """Return the options of a command, given its name and all that follows.

    Raises:
        InputError: There is no such option, or a value is too large to be read.
        ArgumentError: A value is missing or cannot be read.
        SystemExit: The words ask for help, or for the configuration.
    """
    name, *rest = words
    parser = parser_of(name, command)
    known = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    for word in rest:
        flag = word.partition("=")[0]
        # What follows a dot is a setting of what the option names: the parser checks it.
        if flag.startswith("--") and flag.partition(".")[0] not in known:
            raise unknown_option(flag, known)
    try:
        parsed = parser.parse_args(getattr(command, "prepare", list)(rest))
    except ArgumentError as error:
        raise explain(error, known) from None
    except (OverflowError, RecursionError) as error:  # which the parser lets through
        raise InputError("options of a usual size", str(error), "correct them") from None
    values = {**vars(parser.instantiate(parsed)), "command": tuple(words)}
    return _with_values(command.Options, values)


def _add_options(parser: ArgumentParser, kind: type[Any], group: object | None = None) -> None:
    """Add the options of a dataclass, with the defaults of a group where it is one."""
    hints, texts = _describe(kind)  # type: ignore[arg-type]  # a class is hashable
    for part in fields(kind):
        default = part.default if group is None else getattr(group, part.name)
        if is_dataclass(default):
            _add_options(parser, type(default), default)
        elif part.name in texts or part.metadata:
            settings = {"help": texts.get(part.name), **part.metadata}
            key, names = _key(part.name), settings.pop("names", ())
            if hints[part.name] is bool:
                settings["action"] = "store_true"
            else:
                settings = {"type": _type_of_given(hints[part.name]), **settings}
            if default is MISSING:
                parser.add_argument(key, **settings)
            else:
                flag = f"--{key.replace('_', '-')}"
                parser.add_argument(flag, *names, default=default, **settings)


@functools.cache
def _describe(kind: type[Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return types and docstrings of the fields of a dataclass, which commands may share."""
    return get_type_hints(kind), _docstrings(kind)


def _docstrings(kind: type[Any]) -> dict[str, str]:
    """Return the docstring below each field of a dataclass, which Python itself forgets."""
    definition = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(definition, ast.ClassDef)
    return {
        ast.unparse(part.target): " ".join(ast.literal_eval(below.value).split())
        for part, below in pairwise(definition.body)
        if isinstance(part, ast.AnnAssign) and isinstance(below, ast.Expr)
    }


def _type_of_given(hint: Any) -> Any:
    """Return the type of what may be given: None says that an option is not given."""
    if not isinstance(hint, UnionType):
        return hint
    return functools.reduce(operator.or_, (kind for kind in get_args(hint) if kind is not NoneType))


def _key(name: str) -> str:
    """Return the name of a field's option: one that Python keeps for itself ends in `_` there."""
    return name.rstrip("_")


def _with_values(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Return a dataclass of options, groups included, with the values of their names."""
    parts = {
        part.name: _with_values(type(part.default), values)
        if is_dataclass(part.default)
        else values[_key(part.name)]
        for part in fields(kind)
    }
    return kind(**parts)
