"""A weight that adapts to its price."""

from __future__ import annotations

import math

import pytest
import torch

from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.methods import BestResponse, Schedule
from rootbound.methods.best_response import price as module
from rootbound.methods.best_response.price import (
    BEGINNING,
    CHECKS,
    RATE,
    SMALLEST,
    STEEPEST_FALL,
    Price,
    move,
)
from rootbound.networks import Classifier
from rootbound.training import Recipe, predict

QUICK = Recipe(epochs=4, batch_size=30, learning_rate=1e-2)


def followed(
    model: Classifier, tasks: TaskPair, lost: float, monkeypatch: pytest.MonkeyPatch
) -> list[float]:
    """Return the weights over training, where the model always loses as much."""
    price = Price(model, tasks.desirable.test, allowed=0.5, weight=1.0, start=0.5, steps=400)
    found = {id(average): 0.9 for average in price.averages}
    found[id(price.averages[0])] -= lost / 100
    monkeypatch.setattr(module, "accuracy", lambda model, data: found[id(model)])
    return [price.at(step / 400) for step in range(400)]


@pytest.mark.parametrize(
    ("lost", "direction"), [(0.0, 1), (0.5, 0), (0.75, -0.5), (40.0, -STEEPEST_FALL)]
)
def test_weight_follows_the_remaining_price(
    lost: float,
    direction: float,
    toy_model: Classifier,
    toy_tasks: TaskPair,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = followed(toy_model, toy_tasks, lost, monkeypatch)
    assert set(weights[:200]) == {BEGINNING}, "it moved before its time"
    left = (2 * (1 - check / CHECKS) for check in range(CHECKS // 2 + 1, CHECKS))
    moved = RATE * sum(min(direction, share) for share in left)
    expected = max(SMALLEST, BEGINNING * math.exp(moved))
    assert weights[-1] == pytest.approx(expected, rel=1e-6)


def test_twin_equals_plain_training_on_its_batches(
    toy_model: Classifier, toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Price] = []

    class Watched(Price):
        def __init__(self, *given: object, **named: object) -> None:
            super().__init__(*given, **named)  # type: ignore[arg-type]
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
def test_refuses_prices_out_of_range(drop: float, weight: float) -> None:
    with pytest.raises(InputError, match="above 0"):
        BestResponse(max_desirable_drop=drop, weight=weight)


def test_loss_is_measured_with_its_standard_error(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    data = toy_tasks.desirable.test
    price = Price(toy_model, data, allowed=0.5, weight=1.0, start=0.5, steps=10)
    assert price.measure() == (0.0, 0.0)
    with torch.no_grad():
        price.twin.head.weight.zero_()
        price.twin.head.bias.copy_(torch.arange(len(price.twin.head.bias), 0, -1.0))
    model, twin = ((predict(one, data).argmax(-1) == data.labels).double().numpy()
                   for one in (price.model, price.twin))  # fmt: skip
    gain = 100 * (twin - model)
    assert price.measure() == pytest.approx((gain.mean(), gain.std() / len(gain) ** 0.5))


@pytest.mark.parametrize(("drop", "warned"), [(1e-3, True), (100.0, False)])
def test_warns_if_more_was_lost_than_allowed(
    drop: float,
    warned: bool,
    toy_model: Classifier,
    toy_tasks: TaskPair,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Price, "measure", lambda _: (3.0, 1.0))
    with caplog.at_level("INFO", "rootbound"):
        BestResponse(QUICK, max_desirable_drop=drop).fit(toy_model, toy_tasks)
    said = [record.getMessage() for record in caplog.records]
    assert any("3.00 points lost (standard error 1.00)" in line for line in said)
    assert any("more desirable accuracy was lost than allowed" in line for line in said) == warned


def test_averages_follow_weights_but_not_masks_and_counts() -> None:
    mask = torch.tensor([0.0, -math.inf])
    torch.testing.assert_close(move(mask, mask, 0.1), mask)
    counted = move(torch.tensor(3), torch.tensor(4), 0.1)
    assert (counted.dtype, int(counted)) == (torch.int64, 4)
    torch.testing.assert_close(move(torch.zeros(2), torch.ones(2), 0.1), torch.full((2,), 0.1))
