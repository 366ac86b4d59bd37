"""Settings that say in their type what they may be: one row for each value that is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import pytest
from jsonargparse import ArgumentParser

from rootbound.core.errors import InputError
from rootbound.core.fields import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
    Share,
    check,
    require_whole,
)


@dataclass(frozen=True)
class Settings:
    """Settings of every kind."""

    count: PositiveInt = 3
    extra: NonNegativeInt = 0
    rate: PositiveFloat = 1e-3
    weight: NonNegativeFloat = 0.0
    share: Share = 1.0
    target: Annotated[float, Range(below=0)] = -3.0
    level: Annotated[float, Range()] = 0.0
    rates: tuple[PositiveFloat, ...] = (1.0, 2.0)
    limit: PositiveFloat | None = None
    blocks: NonNegativeInt | Literal["all"] = "all"
    style: Literal["learned", "random"] = "learned"
    note: str = ""

    def __post_init__(self) -> None:
        check(self)


VALUES: list[tuple[dict[str, object], str]] = [
    ({"count": 0}, "expected count of at least 1; got 0; raise it"),
    ({"count": -5}, "expected count of at least 1; got -5; raise it"),
    ({"count": 2.5}, "expected a whole number for count; got 2.5; write one"),
    ({"extra": -1}, "expected extra of at least 0; got -1; raise it"),
    ({"rate": 0.0}, "expected rate above 0; got 0.0; raise it"),
    ({"rate": math.nan}, "expected rate above 0; got nan; correct it"),
    ({"rate": math.inf}, "expected rate above 0; got inf; lower it"),
    ({"weight": -1e-9}, "expected weight of at least 0; got -1e-09; raise it"),
    ({"weight": math.nan}, "expected weight of at least 0; got nan; correct it"),
    ({"share": 1.5}, "expected share from 0 to 1; got 1.5; lower it"),
    ({"share": -0.1}, "expected share from 0 to 1; got -0.1; raise it"),
    ({"target": 0.0}, "expected target below 0; got 0.0; lower it"),
    ({"target": -math.inf}, "expected target below 0; got -inf; raise it"),
    ({"level": math.nan}, "expected level that is finite; got nan; correct it"),
    ({"rates": (1.0, -1.0)}, r"expected rates above 0; got \(1.0, -1.0\); raise it"),
    ({"limit": 0.0}, "expected limit above 0; got 0.0; raise it"),
    ({"rate": "fast"}, "expected a number for rate; got 'fast'; give one"),
    ({"blocks": -1}, "expected blocks of at least 0; got -1; raise it"),
    ({"blocks": "al"}, "expected a value of blocks out of all; got 'al'; did you mean 'all'?"),
    (
        {"style": "lerned"},
        "a value of style out of .*; got 'lerned'; did you mean 'learned'?",
    ),
]


@pytest.mark.parametrize(("values", "text"), VALUES)
def test_refuses_values_out_of_range(values: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text.replace("?", r"\?")):
        replace(Settings(), **values)  # type: ignore[arg-type]


def test_accepts_values_in_range() -> None:
    settings = Settings(1, 0, 1e-9, 0.0, 0.0, -1e-9, -5.0, (), None, 2, "random", "any")
    assert replace(settings, blocks="all", limit=0.5).limit == 0.5
    assert repr(Settings(rate=0.5)).startswith("Settings(count=3, extra=0, rate=0.5, weight=0.0, ")


def test_accepts_numpy_integers() -> None:
    assert Settings(count=np.int64(4)).count == 4  # type: ignore[arg-type]
    number = require_whole("seed", np.int64(4), Range(at_least=0, below=5))
    assert (number, type(number)) == (4, int)
    for wrong in (np.float64(4.0), "4", None):
        with pytest.raises(InputError, match=r"a whole number for seed; got .*; write one"):
            require_whole("seed", wrong, Range())
    with pytest.raises(InputError, match="seed of at least 0 and below 5; got 5; lower it"):
        require_whole("seed", 5, Range(at_least=0, below=5))


def test_class_may_narrow_an_inherited_range() -> None:
    @dataclass(frozen=True)
    class Narrow(Settings):
        count: Annotated[int, Range(at_least=2)] = 2

    with pytest.raises(InputError, match="count of at least 2; got 1"):
        Narrow(count=1)


def test_accepts_an_integer_for_a_float() -> None:
    assert Settings(rate=2, weight=0).rate == 2


def test_builds_a_parser_from_settings() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Settings, "settings")
    words = ["--settings.rates=[3, 4]", "--settings.blocks=2", "--settings.count", "7"]
    made = parser.instantiate(parser.parse_args(words)).settings
    assert made == Settings(count=7, rates=(3.0, 4.0), blocks=2)


def test_class_in_a_function_keeps_inherited_ranges() -> None:
    class Local:
        pass

    @dataclass(frozen=True)
    class Own(Settings):
        local: Local | None = None

    with pytest.raises(InputError, match="count of at least 1"):
        Own(count=0)
