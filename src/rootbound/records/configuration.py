"""The configuration of a method or an attack, as plain values: its class and its settings."""

from __future__ import annotations

import ast
import contextlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any

from rootbound.core.errors import InputError

ADDED_LATER = {"added_later": True}
"""Metadata of a field that is recorded only if it differs from its default.

With it, a class can get a new setting without changing the digests of older records.
"""
CALL = re.compile(r"([^()]+)\((.*)\)\s*", re.DOTALL)
SETTING = re.compile(r"\s*([A-Za-z_][\w.]*)\s*=(.*)", re.DOTALL)
QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)


@dataclass(frozen=True, repr=False)
class Text:
    """A value that is recorded only as text: a path, a function, an infinite number."""

    text: str

    def __repr__(self) -> str:
        """Return the text as Python source."""
        return self.text


@dataclass(frozen=True, repr=False)
class Configuration:
    """A class and its settings. Two are equal if their texts are.

    Args:
        kind: Name of the class (its `__qualname__`).
        settings: Values by name, in the order of the class's fields: None, booleans, finite
            numbers, strings, tuples of such, configurations, and `Text` for whatever else.

    Attributes:
        text: The Python expression; seeds, digests and the order of records depend on it.
    """

    kind: str = field(compare=False)
    settings: Mapping[str, Any] = field(compare=False)
    text: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", f"{self.kind}({named(self.settings)})")

    def __repr__(self) -> str:
        """Return the text."""
        return self.text

    @classmethod
    def of(cls, owner: Any) -> Configuration:
        """Return the configuration of an instance of a dataclass."""
        return cls(
            type(owner).__qualname__,
            {
                part.name: plain(getattr(owner, part.name))
                for part in fields(owner)
                if part.repr and not _was_added_later(part, getattr(owner, part.name))
            },
        )

    @classmethod
    def parse(cls, text: str) -> Configuration:
        """Parse the `repr` of a configuration, which files of format 2 contain.

        Raises:
            InputError: The text is not a class with settings in brackets.
        """
        kind, settings = divide_call(text)
        if settings is None:
            raise InputError("a class with settings in brackets", repr(text[:80]), "correct it")
        try:
            return cls(kind, {name: _parse_value(value) for name, value in settings.items()})
        except RecursionError:
            raise InputError("settings nested less deeply", repr(text[:80]), "correct it") from None

    def leaves(self) -> Iterator[tuple[tuple[str, ...], Any]]:
        """Yield the path and value of each setting, including those of nested configurations."""
        for name, value in self.settings.items():
            if isinstance(value, Configuration):
                yield from (((name, *path), leaf) for path, leaf in value.leaves())
            else:
                yield (name,), value

    def differing(self, other: Configuration) -> dict[str, Any]:
        """Return the settings that another one does not share; nested names are `recipe.epochs`."""
        others = dict(other.leaves())
        return {
            ".".join(path): value
            for path, value in self.leaves()
            if path not in others or repr(others[path]) != repr(value)
        }

    def changed(self, change: Callable[[Any], Any]) -> Configuration:
        """Return the configuration with a function applied to each value, nested ones too."""
        settings = {name: _change_value(value, change) for name, value in self.settings.items()}
        return Configuration(self.kind, settings)


def plain(value: Any) -> Any:
    """Return a value in the form of configurations; see `Configuration`."""
    if is_dataclass(value) and not isinstance(value, type | Configuration | Text):
        return Configuration.of(value)
    if type(value) is tuple:
        return tuple(plain(entry) for entry in value)
    if value is None or type(value) in (bool, int, str) or isinstance(value, Configuration | Text):
        return value
    if type(value) is float and math.isfinite(value):
        return value
    return Text(repr(value))


def named(settings: Mapping[str, Any]) -> str:
    """Write settings as arguments: `weight=0.3, steps=5`."""
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())


def to_values(configuration: Any) -> Any:
    """Return a configuration, or a value in one, as values for JSON."""
    if isinstance(configuration, Configuration):
        settings = {name: to_values(value) for name, value in configuration.settings.items()}
        return {"class": configuration.kind, "settings": settings}
    if isinstance(configuration, Text):
        return {"text": configuration.text}
    if isinstance(configuration, tuple):
        return [to_values(value) for value in configuration]
    return configuration


def from_values(values: Any) -> Any:
    """Undo `to_values`.

    Raises:
        ValueError: The values have another form.
    """
    if isinstance(values, list):
        return tuple(from_values(value) for value in values)
    if not isinstance(values, dict):
        return values
    match values:
        case {"class": str(kind), "settings": dict(settings), **rest} if not rest:
            return Configuration(kind, {name: from_values(settings[name]) for name in settings})
        case {"text": str(text), **rest} if not rest:
            return Text(text)
    raise ValueError("a class with settings is wanted")


def divide_call(text: str) -> tuple[str, dict[str, str] | None]:
    """Divide `Class(name=value, …)` into the class and the text of each value.

    Returns:
        The name of the class, and None instead of values if there are no brackets.

    Raises:
        InputError: The brackets are not closed, or contain something other than settings.
    """
    if "(" not in text:
        return text.strip(), None
    if (call := CALL.fullmatch(text)) is None:
        raise InputError(
            "settings in brackets, and nothing behind them", repr(text[:80]), "correct it"
        )
    settings = {}
    for part in divide_list(call[2]) if call[2].strip() else ():
        if (setting := SETTING.fullmatch(part)) is None:
            raise InputError("a setting as in weight=0.3", repr(part.strip()[:80]), "correct it")
        settings[setting[1]] = setting[2].strip()
    return call[1].strip(), settings


def divide_list(text: str) -> Iterator[str]:
    """Yield the parts between commas, ignoring commas in brackets and quotes."""
    # Replace each quoted letter by another one, so that positions stay the same.
    visible = QUOTED.sub(lambda quoted: "_" * len(quoted[0]), text)
    depth, start = 0, 0
    for position, letter in enumerate(visible):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            yield text[start:position]
            start = position + 1
    yield text[start:]


def _parse_value(text: str) -> Any:
    """Return the value of a setting; `Text` if configurations have no form for it."""
    with contextlib.suppress(ValueError, SyntaxError, MemoryError):
        if repr(value := plain(ast.literal_eval(text))) == text:
            return value
    with contextlib.suppress(InputError):
        if repr(configuration := Configuration.parse(text)) == text:
            return configuration
    return Text(text)


def _change_value(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Configuration):
        return value.changed(change)
    if isinstance(value, tuple):
        return tuple(_change_value(entry, change) for entry in value)
    return change(value)


def _was_added_later(part: Field[Any], value: Any) -> bool:
    """Return whether a field is left out of a configuration because it has its default."""
    default = part.default if part.default_factory is MISSING else part.default_factory()
    return "added_later" in part.metadata and value == default
