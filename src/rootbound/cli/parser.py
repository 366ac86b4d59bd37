"""The parser of a command, built from the fields of its frozen dataclass of options.

A command has a dataclass `Options`. A field with a docstring is an option; without a default it is
a positional argument. A field whose default is a dataclass is a group of options that several
commands share: they are listed beside the others, with the group's values as defaults.
"""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import ModuleType, NoneType, UnionType
from typing import Any, get_args

from jsonargparse import ArgumentError, ArgumentParser

from rootbound.cli.described import Described, describe
from rootbound.cli.help import ALL, brief_help, full_help
from rootbound.cli.misspelt import explain, unknown_option_error
from rootbound.core.errors import InputError


class _Parser(ArgumentParser):
    """A parser that accepts no abbreviated names; its parsers for settings do not either."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, allow_abbrev=False, **settings)


def build_parser(name: str, command: ModuleType) -> ArgumentParser:
    """Return the parser of a command's options."""
    parser = _Parser(prog=f"rootbound {name}", description=command.__doc__, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    for one in describe(command.Options):
        _add_option(parser, one)
    return parser


def read_options(command: ModuleType, words: Sequence[str]) -> Any:
    """Return the options of a command, given the words on the command line.

    Raises:
        InputError: There is no such option, or a value is too large to be read.
        ArgumentError: A value is missing or cannot be read.
        SystemExit: The words ask for help, or for the configuration.
    """
    name, *rest = words
    if not {"-h", "--help", ALL}.isdisjoint(rest):
        show = full_help if ALL in rest else brief_help
        sys.stdout.write(show(name, command))
        raise SystemExit(0)
    parser = build_parser(name, command)
    known = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    for word in rest:
        flag = word.partition("=")[0]
        # After a dot follows a setting of the option's value, which the parser checks.
        if flag.startswith("--") and flag.partition(".")[0] not in known:
            raise unknown_option_error(flag, [*known, ALL])
    try:
        parsed = parser.parse_args(getattr(command, "prepare", list)(rest))
    except ArgumentError as error:
        raise explain(error, known) from None
    except UnicodeDecodeError as error:
        raise InputError("text in UTF-8 in --config", str(error), "convert the file") from None
    except (OverflowError, RecursionError) as error:  # the parser does not catch these
        raise InputError("options of a usual size", str(error), "correct them") from None
    values = {**vars(parser.instantiate(parsed)), "command": tuple(words)}
    return _with_values(command.Options, values)


def _add_option(parser: ArgumentParser, one: Described) -> None:
    settings: dict[str, Any] = {"help": one.text, **one.settings}
    if one.hint is bool:
        settings["action"] = "store_true"
    else:
        settings = {"type": _find_given_type(one.hint), **settings}
    if one.default is MISSING:
        argument = parser.add_argument(one.key, **settings)
        # An argument that may be given any number of times is never missing.
        argument.required = settings.get("nargs") != "*"
    else:
        parser.add_argument(one.flag, *one.names, default=one.default, **settings)


def _find_given_type(hint: Any) -> Any:
    """Return the type of a given value; None only means that an option is not given."""
    if not isinstance(hint, UnionType):
        return hint
    return functools.reduce(operator.or_, (kind for kind in get_args(hint) if kind is not NoneType))


def _with_values(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Build a dataclass of options, including its groups, from values by name."""
    parts = {
        part.name: _with_values(type(part.default), values)
        if is_dataclass(part.default)
        else values[part.name.rstrip("_")]
        for part in fields(kind)
    }
    return kind(**parts)
