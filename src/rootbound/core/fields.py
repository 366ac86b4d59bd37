"""Settings of frozen dataclasses that say in their type what they may be, and one check of them.

Example:
    A class states its ranges, and calls `check(self)` in `__post_init__`:

        strength: PositiveFloat = 1e-3
        folds: Annotated[int, Range(at_least=2)] = 5
        solver: Literal["lu", "svd"] = "lu"
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cache
from numbers import Integral
from typing import Annotated, Any, get_args, get_type_hints

from rootbound.core.errors import InputError, unknown_name


@dataclass(frozen=True)
class Range:
    """Numbers that a setting may be. NaN and infinity are never among them."""

    at_least: float = -math.inf
    at_most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, number: float) -> bool:
        return self.at_least <= number <= self.at_most and self.above < number < self.below

    def __str__(self) -> str:
        if math.isfinite(self.at_least) and math.isfinite(self.at_most):
            return f"from {self.at_least:g} to {self.at_most:g}"
        limits = {
            "of at least": self.at_least,
            "above": self.above,
            "of at most": self.at_most,
            "below": self.below,
        }
        words = [f"{word} {limit:g}" for word, limit in limits.items() if math.isfinite(limit)]
        return " and ".join(words) or "that is finite"

    def fix(self, number: float) -> str:
        """Return what to do about a number outside."""
        if number < self.at_least or number <= self.above:
            return "raise it"
        return "lower it" if number > self.at_most or number >= self.below else "correct it"


PositiveInt = Annotated[int, Range(at_least=1)]
NonNegativeInt = Annotated[int, Range(at_least=0)]
PositiveFloat = Annotated[float, Range(above=0)]
NonNegativeFloat = Annotated[float, Range(at_least=0)]
Share = Annotated[float, Range(at_least=0, at_most=1)]


def check(settings: object) -> None:
    """Check every field of a dataclass whose type has a `Range`, or a `Literal` of words.

    A range holds for each number of a tuple. None passes it.

    Raises:
        InputError: A number is out of its range, or not whole where it is to be, or a word is none
            of those that may be.
    """
    kind: Any = type(settings)
    for name, (ranges, words, whole) in _limits(kind).items():
        value = getattr(settings, name)
        if isinstance(value, str):
            if words and value not in words:
                raise unknown_name(f"value of {name}", value, words)
            if not words:
                raise InputError(f"a number for {name}", repr(value), "give one")
        elif value is not None:
            for number in value if isinstance(value, tuple) else (value,):
                for allowed in ranges:
                    if number not in allowed:
                        raise InputError(f"{name} {allowed}", str(value), allowed.fix(number))
                if whole and not isinstance(number, Integral):
                    raise InputError(f"a whole number for {name}", str(value), "write one")


def require_whole(name: str, value: object, allowed: Range) -> int:
    """Return a whole number that somebody gave.

    Raises:
        InputError: It is not whole, or out of its range.
    """
    if not isinstance(value, Integral):
        raise InputError(f"a whole number for {name}", repr(value), "write one")
    number = int(value)
    if number not in allowed:
        raise InputError(f"{name} {allowed}", str(number), allowed.fix(number))
    return number


@cache
def _limits(kind: Any) -> dict[str, tuple[list[Range], list[str], bool]]:
    """Return the ranges and the words in the types of fields, and whether numbers are whole."""
    hints: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        with suppress(NameError):  # its types have names that only its author's function knows
            hints |= get_type_hints(base, include_extras=True)
    limits = {}
    for field in fields(kind):
        parts = list(_parts(hints.get(field.name)))
        ranges = [part for part in parts if isinstance(part, Range)]
        words = [part for part in parts if isinstance(part, str)]
        if ranges or words:
            limits[field.name] = ranges, words, int in parts and float not in parts
    return limits


def _parts(hint: object) -> Iterator[object]:
    """Yield a type and all that is in its brackets."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)
