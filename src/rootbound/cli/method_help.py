"""The output of `rootbound train --method.help CLASS`: the settings of a method, by group."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docstring_parser import parse

from rootbound.cli.help import entry, width_of_help
from rootbound.core.errors import InputError, unknown_name_error
from rootbound.core.user_code import load_named
from rootbound.methods import METHODS, BestResponse, Method

FLAG = "--method.help"


def find_method_for_help(words: Sequence[str]) -> type[Method] | None:
    """Return the method whose settings a command asks to show, or None.

    Raises:
        InputError: There is no such method or file.
    """
    for word, after in zip(words, [*words[1:], ""], strict=True):
        flag, equals, name = word.partition("=")
        if flag == FLAG:
            return _find(name if equals else after)
    return None


def method_help(kind: type[Method]) -> str:
    """Return the full descriptions of a method's settings."""
    width = width_of_help()
    about = parse(str(kind.__doc__)).short_description or ""
    head = textwrap.wrap(f"{kind.__name__}: {about}", width)
    lines = [*head, "", *_list_settings(kind, None, "--method", width)]
    return "\n".join(lines) + "\n"


def _find(name: str) -> type[Method]:
    if not name or name.startswith("-"):
        return BestResponse
    found = load_named(name) or METHODS.get(name)
    if found is None:
        raise unknown_name_error("method", name, METHODS)
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise InputError("a subclass of rootbound.Method", name, "name another class")
    return found


def _list_settings(kind: type[Any], usual: object, flag: str, width: int) -> Iterator[str]:
    """Yield the lines about a dataclass's fields; those that are dataclasses come last.

    Args:
        kind: The dataclass.
        usual: An instance with other defaults than the class, or None.
        flag: Prefix of a field's name.
        width: Width of a line.
    """
    texts, hints, groups = _read_texts(kind), get_type_hints(kind), []
    for part in fields(kind):
        value = getattr(usual, part.name) if usual is not None else _get_default(part)
        name, text = f"{flag}.{part.name}", texts.get(part.name, "")
        if is_dataclass(value):
            groups.append((name, text, value))
        else:
            words = f"{name} {_name_value(hints[part.name])}"
            yield from entry(words, _with_default(text, value), width)
    for name, text, value in groups:
        yield ""
        yield from textwrap.wrap(text, width)
        yield from _list_settings(type(value), value, name, width)


def _get_default(part: Field[Any]) -> Any:
    return part.default if part.default_factory is MISSING else part.default_factory()


def _name_value(hint: Any) -> str:
    """Return a word for the values of a type."""
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    return {bool: "true|false", str: "WORD"}.get(hint, "NUMBER")


def _read_texts(kind: type[Any]) -> dict[str, str]:
    """Return the description of each argument from the docstrings of a class and its bases."""
    return {
        argument.arg_name: " ".join((argument.description or "").split())
        for base in reversed(kind.__mro__)
        for argument in parse(base.__doc__ or "").params
    }


def _with_default(text: str, value: object) -> str:
    """Add the default to a text, unless the text already says it or there is none."""
    if value is None or value is MISSING:
        return text
    shown = str(value).lower() if isinstance(value, bool) else value
    return f"{text.removesuffix('.')} (default: {shown})." if text else f"Default: {shown}."
