"""Settings of frozen dataclasses that state their allowed values in their types, and their check.

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

from rootbound.core.errors import InputError, unknown_name_error


@dataclass(frozen=True)
class Range:
    """The allowed numbers of a setting. NaN and infinity are never allowed."""

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
        """Return advice on a number outside the range."""
        if number < self.at_least or number <= self.above:
            return "raise it"
        return "lower it" if number > self.at_most or number >= self.below else "correct it"


SEEDS = Range(at_least=0, below=2**32)
"""Seeds of weights and trainings; torch's generator on processors ignores higher bits."""
PositiveInt = Annotated[int, Range(at_least=1)]
NonNegativeInt = Annotated[int, Range(at_least=0)]
PositiveFloat = Annotated[float, Range(above=0)]
NonNegativeFloat = Annotated[float, Range(at_least=0)]
Share = Annotated[float, Range(at_least=0, at_most=1)]


def check(settings: object) -> None:
    """Check every field of a dataclass whose type has a `Range`, or a `Literal` of words.

    A range applies to each number of a tuple. None is always allowed.

    Raises:
        InputError: A number is out of its range, or not whole where it should be, or a word is not
            allowed.
    """
    kind: Any = type(settings)
    for name, (ranges, words, whole) in _find_limits(kind).items():
        value = getattr(settings, name)
        if isinstance(value, str):
            if words and value not in words:
                raise unknown_name_error(f"value of {name}", value, words)
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
    """Return a value as a whole number in a range.

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
def _find_limits(kind: Any) -> dict[str, tuple[list[Range], list[str], bool]]:
    """Return, by field, the ranges and words in its type, and whether numbers must be whole."""
    hints: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        with suppress(NameError):  # a type may have a name that is local to its author's function
            hints |= get_type_hints(base, include_extras=True)
    limits = {}
    for field in fields(kind):
        parts = list(_list_parts(hints.get(field.name)))
        ranges = [part for part in parts if isinstance(part, Range)]
        words = [part for part in parts if isinstance(part, str)]
        if ranges or words:
            limits[field.name] = ranges, words, int in parts and float not in parts
    return limits


def _list_parts(hint: object) -> Iterator[object]:
    """Yield a type and everything in its brackets."""
    yield hint
    for part in get_args(hint):
        yield from _list_parts(part)
