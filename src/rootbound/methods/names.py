"""What the methods of a comparison are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from rootbound.methods.base import Method


def names(methods: Sequence[Method]) -> list[str]:
    """Return a name for each method: its class, and what tells it from others of that class.

    `BestResponse` beside `BestResponse(weight=0.3)`: settings that are the class's defaults, or
    the same in all of them, are left out. Equal methods have equal names.
    """
    return [
        _name(one, [other for other in methods if _kind(other) == _kind(one)]) for one in methods
    ]


def _name(method: Method, siblings: Sequence[Method]) -> str:
    if len(siblings) == 1:
        return _kind(method)
    others = [dict(_settings(other)) for other in siblings]
    told = [
        f"{name}={value!r}"
        for name, value in _settings(method)
        if any(other.get(name, MISSING) != value for other in others)
    ]
    return f"{_kind(method)}({', '.join(told)})" if told else _kind(method)


def _kind(method: Method) -> str:
    return type(method).__name__


def _settings(owner: Any) -> Iterator[tuple[str, Any]]:
    """Yield the settings that are not the defaults; those of a recipe as `recipe.epochs`."""
    for part in fields(owner):
        value, usual = getattr(owner, part.name), _default(part)
        if value == usual:
            continue
        if is_dataclass(value) and type(value) is type(usual):
            for entry in fields(value):
                if getattr(value, entry.name) != getattr(usual, entry.name):
                    yield f"{part.name}.{entry.name}", getattr(value, entry.name)
        else:
            yield part.name, value


def _default(part: Field[Any]) -> Any:
    return part.default if part.default_factory is MISSING else part.default_factory()
