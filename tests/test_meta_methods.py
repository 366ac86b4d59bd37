"""Methods that simulate an attacker: their losses against naive float64 ones."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.data import Batch, Data, TaskPair
from rootbound.datasets import Dataset
from rootbound.methods import IMMA, MLAC, SOPHON, TAR, Method, Plain, ReverseMAML
from rootbound.methods.shared.batches import hold_out
from rootbound.methods.sophon import RollBack
from rootbound.methods.tar import retain_loss
from rootbound.networks import Classifier
from rootbound.training import Recipe
from smooth import best_mixing, cross_entropy, same, small_batches, small_network, state

QUICK = Recipe(epochs=2, batch_size=30, learning_rate=1e-2)
SMALL: tuple[Method, ...] = (
    SOPHON(QUICK, outer_steps=4, attack_steps=3, attack_batch_size=20, check_every=2),
    TAR(QUICK, outer_steps=4, attack_steps=4, judged_every=2),
    MLAC(QUICK, outer_steps=4, attack_steps=3),
    MLAC(QUICK, outer_steps=4, attack_steps=2, attack_optimiser="sgd", head="learned"),
    IMMA(QUICK, outer_steps=4, inner_steps=2, fresh_head=True),
    ReverseMAML(QUICK, inner_steps=2),
)


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_retain_loss_equals_a_naive_one(float64: None) -> None:
    model, start = small_network(1), small_network(2)
    ((inputs, labels),) = small_batches(1)
    distances, one, other = [], inputs, inputs
    for block, before in zip(model.blocks, start.blocks, strict=True):
        one, other = block(one), before(other)
        rows = zip(one.tolist(), other.tolist(), strict=True)
        norms = [math.dist(first, second) for first, second in rows]
        distances.append(sum(norms) / len(norms))
    chances = model(inputs).softmax(1).detach()
    task = -sum(math.log(float(chances[i, label])) for i, label in enumerate(labels.tolist())) / 8
    found = float(retain_loss(model, start, (inputs, labels)).detach())
    assert found == pytest.approx(task + sum(distances) / 2, rel=1e-12)


def test_mlac_equals_a_naive_computation() -> None:
    network, batches = small_network(), small_batches(4)
    method = MLAC(
        attack_optimiser="sgd",
        adapted_weight=0.7,
        recalibrated_weight=0.5,
        gradient_weight=0.2,
    )
    found = method.adversarial(network, torch.tensor(0.3, dtype=torch.float64), batches)
    plain, losses, mixed, norms = copy.deepcopy(network), [], [], []
    for batch in batches[1:]:
        gradients = torch.autograd.grad(cross_entropy(plain, batch), list(plain.parameters()))
        norms.append(math.sqrt(sum(float((one**2).sum()) for one in gradients)))
        with torch.no_grad():
            for parameter, gradient in zip(plain.parameters(), gradients, strict=True):
                parameter.sub_(gradient, alpha=0.3)
            logits = plain(batches[0][0])
        losses.append(float(functional.cross_entropy(logits, batches[0][1])))
        mixed.append(best_mixing(logits, batches[0][1])[0])
    mean = np.mean
    assert float(found[0].detach()) == pytest.approx(float(mean(losses)), rel=1e-9)
    expected = 0.2 * mean(norms) - 0.7 * mean(losses) - 0.5 * mean(mixed)
    assert float(found[1].detach()) == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("fresh", [True, False])
def test_imma_equals_a_naive_computation(
    float64: None, fresh: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss and its slopes at two steps of the upper level; the head goes on, or is drawn."""
    model, desirable, known = small_network(), small_batches(2, 9), small_batches(4, seed=5)
    found: list[tuple[Tensor, ...]] = []

    def take(network: Classifier, loss: Callable[..., Tensor], *_: Any, **__: Any) -> None:
        for batch in desirable:
            value = loss(batch, 0.0)
            found.append((value, *torch.autograd.grad(value, list(network.backbone.parameters()))))

    monkeypatch.setattr("rootbound.methods.imma.minimise", take)
    monkeypatch.setattr(Recipe, "batches", lambda *_: iter(known))
    tasks: Any = MagicMock()
    tasks.undesirable.classes = "abc"
    torch.manual_seed(8)
    IMMA(inner_steps=3, weight=0.3, fresh_head=fresh).defend(model, tasks, torch.Generator())
    torch.manual_seed(8)
    head = nn.Linear(5, 3)
    adam = torch.optim.Adam(head.parameters(), 1e-2)
    for number, (inputs, labels) in enumerate(desirable):
        if fresh:
            head = nn.Linear(5, 3)
            adam = torch.optim.Adam(head.parameters(), 1e-2)
        learned, judged = known[2 * number : 2 * number + 2]
        features = model.features(learned[0]).detach()
        for _ in range(3):
            adam.zero_grad()
            functional.cross_entropy(head(features), learned[1]).backward()
            adam.step()
        own, unwanted = model.features(torch.cat([inputs, judged[0]])).split([9, 8])
        value = functional.cross_entropy(model.head(own), labels)
        value = value - 0.3 * functional.cross_entropy(head(unwanted), judged[1])
        expected = (value, *torch.autograd.grad(value, list(model.backbone.parameters())))
        for one, other in zip(found[number], expected, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("capped", [True, False])
def test_reverse_maml_equals_a_naive_computation(float64: None, capped: bool) -> None:
    model = small_network()
    desirable, undesirable = small_batches(2)
    method = ReverseMAML(inner_steps=3, inner_rate=20.0, weight=0.3, capped=capped)
    torch.manual_seed(8)
    found = float(method.loss(model, desirable, undesirable, 0.0).detach())
    torch.manual_seed(8)
    head = nn.Linear(5, 3)

    def learned(network: Classifier, batch: Batch) -> float:
        network = copy.deepcopy(network)
        descent = torch.optim.SGD(network.parameters(), lr=20.0)
        for _ in range(3):
            descent.zero_grad()
            cross_entropy(network, (batch[0][0::2], batch[1][0::2])).backward()
            descent.step()
        return float(cross_entropy(network, (batch[0][1::2], batch[1][1::2])).detach())

    lost = learned(Classifier(model.backbone, head), undesirable)
    assert lost > math.log(3), "the case shall tell the two apart"
    gained = min(lost, math.log(3)) if capped else lost
    task = float(cross_entropy(copy.deepcopy(model), desirable).detach())
    expected = task + learned(model, desirable) - 0.3 * gained
    assert found == pytest.approx(expected, rel=1e-10)


def test_sophon_descends_the_clipped_gradient(
    float64: None, toy: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(256, 6), nn.Tanh())
    model = Classifier(backbone, nn.Linear(6, 3)).train()
    tasks = toy.split([0, 1, 2], [3, 4])
    monkeypatch.setattr(Data, "batch", as_float64(Data.batch))
    method = SOPHON(attack_steps=5, attack_rate=0.2, attack_batch_size=20, clip=1e-2)
    torch.manual_seed(5)
    attacked = Classifier(copy.deepcopy(backbone), nn.Linear(6, 2))
    batches = method.recipe.batches(
        tasks.known_undesirable, 5, torch.Generator().manual_seed(6), 20
    )
    total = [torch.zeros_like(one) for one in attacked.backbone.parameters()]
    for inputs, labels in batches:
        descent = torch.optim.SGD(attacked.parameters(), lr=0.2)
        cross_entropy(attacked, (inputs[2:], labels[2:])).backward()
        descent.step()
        chances = attacked(inputs[:2]).softmax(1)[torch.arange(2), labels[:2]]
        judged = -(1 - chances).log().mean() / 5
        found = torch.autograd.grad(judged, list(attacked.backbone.parameters()))
        total = [one + other for one, other in zip(total, found, strict=True)]
        descent.zero_grad()
    norm = math.sqrt(sum(float((one**2).sum()) for one in total))
    assert norm > 1e-2
    before = [one.detach().clone() for one in backbone.parameters()]
    torch.manual_seed(5)
    descent = torch.optim.SGD(backbone.parameters(), lr=1.0)
    method.suppress(model, tasks, descent, torch.Generator().manual_seed(6))
    for old, new, gradient in zip(before, backbone.parameters(), total, strict=True):
        torch.testing.assert_close(old - new.detach(), gradient * 1e-2 / norm, rtol=1e-4, atol=0)


def as_float64(batch: Callable[..., Batch]) -> Callable[..., Batch]:
    def converted(data: Data, index: Tensor | slice) -> Batch:
        inputs, labels = batch(data, index)
        return inputs.double(), labels

    return converted


@pytest.mark.parametrize("broken", [0.0, math.nan])
def test_roll_back_restores_the_last_good_weights(
    broken: float, toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn, others = hold_out(toy_tasks.desirable.train, 1000, generator)
    assert len(drawn) == len(others) == len(toy_tasks.desirable.train) // 2
    model = Plain(Recipe(epochs=6, batch_size=30, learning_rate=1e-2)).fit(toy_model, toy_tasks)
    roll_back = RollBack(model, drawn, allowed_drop=0.05)
    with torch.no_grad():
        model.head.weight.mul_(2)
        model.head.bias.mul_(2)
    good = state(model)
    assert roll_back.check() and same(state(model), good)
    with torch.no_grad():
        model.head.weight.fill_(broken)
    assert not roll_back.check() and same(state(model), good)


@pytest.mark.parametrize("method", SMALL, ids=repr)
def test_methods_take_unequal_class_counts_and_batch_norm(method: Method, toy: Dataset) -> None:
    torch.manual_seed(0)
    convolution = nn.Sequential(nn.Conv2d(1, 4, 5, 4), nn.BatchNorm2d(4), nn.ReLU())
    hidden = nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.BatchNorm1d(12), nn.ReLU())
    model = Classifier(nn.Sequential(convolution, hidden), nn.Linear(12, 4))
    tasks = toy.split([0, 1, 2, 3], [4, 5])
    few = tasks.known_undesirable.select(torch.tensor([0, 1, 2, 3, 59, 58]))
    assert set(few.labels.tolist()) == {0, 1}
    fitted = method.fit(model, replace(tasks, known_undesirable=few), seed=1)
    assert all(bool(torch.isfinite(value).all()) for value in fitted.state_dict().values())
    assert fitted.classes == 4


@pytest.mark.parametrize(
    "build",
    [
        lambda: SOPHON(attack_batch_size=1),
        lambda: SOPHON(clip=0.0),
        lambda: SOPHON(allowed_drop=1.5),
        lambda: TAR(attack_rates=()),
        lambda: TAR(attack_rates=(1e-3, -1.0)),
        lambda: TAR(judged_every=65),
        lambda: MLAC(attack_rate=0.0),
        lambda: MLAC(adapted_weight=-1.0),
        lambda: IMMA(weight=math.inf),
        lambda: ReverseMAML(inner_steps=0),
        lambda: ReverseMAML(weight=-0.1),
        lambda: ReverseMAML(undesirable_batch_size=0),
    ],
)
def test_refuses_settings_out_of_range(build: Callable[[], Method]) -> None:
    with pytest.raises(InputError, match="expected"):
        build()
