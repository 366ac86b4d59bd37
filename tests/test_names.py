"""What methods are called, and how the command line names them."""

from __future__ import annotations

import pytest

from rootbound.cli.methods import read_methods
from rootbound.methods import METHODS, TAR, BestResponse, Method, Plain, Schedule
from rootbound.methods.names import name_methods
from rootbound.training import Recipe


@pytest.mark.parametrize(
    ("text", "called", "last"),
    [
        ("BestResponse", ["Plain", "BestResponse"], BestResponse()),
        ("BestResponse(weight=0.3)", ["Plain", "BestResponse"], BestResponse(weight=0.3)),
        (
            "BestResponse, BestResponse(weight=0.3)",
            ["Plain", "BestResponse", "BestResponse(weight=0.3)"],
            BestResponse(weight=0.3),
        ),
        (
            "BestResponse(weight=0.2,schedule.wait=0),BestResponse(weight=0.3, schedule.wait=0)",
            ["Plain", "BestResponse(weight=0.2)", "BestResponse(weight=0.3)"],
            BestResponse(weight=0.3, schedule=Schedule(wait=0.0)),
        ),
        (
            "TAR(attack_rates=[1e-4, 1e-3])",
            ["Plain", "TAR"],
            TAR(attack_rates=(1e-4, 1e-3)),
        ),
        ("BestResponse( max_desirable_drop = null )", ["Plain", "BestResponse"], BestResponse()),
        ("BestResponse()", ["Plain", "BestResponse"], BestResponse()),
        ("Plain(recipe.epochs=2)", ["Plain"], Plain(Recipe(epochs=2))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_names_methods_by_their_settings(text: str, called: list[str], last: Method) -> None:
    methods = read_methods(text)
    assert name_methods(methods) == called
    assert methods[-1] == last


def test_differing_recipe_fields_distinguish_methods() -> None:
    short, long = (Plain(Recipe(epochs=count, batch_size=64)) for count in (2, 9))
    assert name_methods([short, long]) == ["Plain(recipe.epochs=2)", "Plain(recipe.epochs=9)"]
    assert name_methods([Plain(), long]) == [
        "Plain",
        "Plain(recipe.epochs=9, recipe.batch_size=64)",
    ]


def test_all_stands_for_every_method_and_allows_more() -> None:
    called = name_methods(read_methods("all,BestResponse(weight=0.3)"))
    assert called == [*METHODS, "BestResponse(weight=0.3)"]
