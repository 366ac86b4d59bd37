"""A weight that follows what it costs."""

from __future__ import annotations

import math

import pytest
import torch

from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.methods import BestResponse, Schedule
from rootbound.methods.best_response import price as module
from rootbound.methods.best_response.price import CHECKS, RATE, SMALLEST, Price
from rootbound.networks import Classifier
from rootbound.training import Recipe

QUICK = Recipe(epochs=4, batch_size=30, learning_rate=1e-2)


def followed(
    model: Classifier, tasks: TaskPair, lost: float, monkeypatch: pytest.MonkeyPatch
) -> list[float]:
    """Return the weights over training, where the model always loses as much."""
    price = Price(model, tasks.desirable.test, allowed=0.5, weight=0.2, start=0.5)
    found = {id(price.twin): 0.9, id(price.model): 0.9 - lost / 100}
    monkeypatch.setattr(module, "accuracy", lambda model, data: found[id(model)])
    return [price.at(step / 400) for step in range(400)]


@pytest.mark.parametrize(("lost", "direction"), [(0.0, 1), (0.5, 0), (0.75, -0.5), (40.0, -1)])
def test_it_moves_by_what_is_left_of_the_price(
    lost: float,
    direction: float,
    toy_model: Classifier,
    toy_tasks: TaskPair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = followed(toy_model, toy_tasks, lost, monkeypatch)
    assert set(weights[:200]) == {0.2}, "it moved before its time"
    moves = CHECKS // 2 - 1
    expected = max(SMALLEST, 0.2 * math.exp(RATE * direction * moves))
    assert weights[-1] == pytest.approx(expected, rel=1e-6)


def test_the_twin_learns_what_plain_training_on_its_batches_does(
    toy_model: Classifier, toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Price] = []

    class Watched(Price):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)  # type: ignore[arg-type]
            kept.append(self)

    monkeypatch.setattr("rootbound.methods.best_response.method.Price", Watched)
    fitted = BestResponse(QUICK, max_desirable_drop=0.5).fit(toy_model, toy_tasks)
    (twin,) = (price.twin for price in kept)
    light = BestResponse(
        QUICK,
        max_desirable_drop=0.5,
        weight=1e-12,
        schedule=Schedule(first_block_until=1.0, finishing_steps=0),
    )
    monkeypatch.setattr(module, "RATE", 0.0)
    monkeypatch.setattr(module, "SMALLEST", 0.0)
    same = light.fit(toy_model, toy_tasks)
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(same.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert any(
        not torch.equal(value, twin.state_dict()[name])
        for name, value in fitted.state_dict().items()
    )


@pytest.mark.parametrize(("drop", "weight"), [(0.0, 0.2), (-1.0, 0.2), (math.nan, 0.2), (1.0, 0.0)])
def test_prices_out_of_range(drop: float, weight: float) -> None:
    with pytest.raises(InputError, match="above 0"):
        BestResponse(max_desirable_drop=drop, weight=weight)
