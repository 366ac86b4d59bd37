"""What repairs of scale promise: the same function, easier to train."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import nn

from broken import (
    Holder,
    Keep,
    attacker,
    ill_conditioned_network,
    linear_network,
    logits,
    normalised_network,
    piece,
    plain_network,
    repaired,
    unbalanced_network,
)
from rootbound.attacks import (
    Attacker,
    GradientFree,
    JointTune,
    Repair,
    Repaired,
    Snapshot,
)
from rootbound.attacks.repairs import (
    BalanceFactors,
    BalanceLayers,
    BypassGates,
    Distil,
    InsertWhitening,
    LeakyActivations,
    Prune,
    RecomputeStatistics,
    ReinitialiseDead,
    ReinitialiseLast,
    ResetNorms,
    Sanitise,
    SelfSupervise,
    ShiftBias,
    Truncate,
)
from rootbound.attacks.repairs.balance_layers import find_links
from rootbound.attacks.repairs.network import compute_unit_outputs, sample
from rootbound.core.errors import InputError
from rootbound.data import Data, TaskPair
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.training import Recipe, accuracy, predict, seeded

PRESERVING: list[tuple[Repair, Callable[[], Classifier]]] = [
    *(
        (BalanceLayers(scale), network)
        for scale in ("layers", "units", "spectral")
        for network in (plain_network, unbalanced_network, normalised_network)
    ),
    *((BalanceFactors(), lambda c=c: linear_network(c)) for c in (1.0, 1e3, 1e6)),
    *((InsertWhitening(), lambda c=c: linear_network(c)) for c in (1.0, 1e3, 1e6)),
    (InsertWhitening(1e-2), plain_network),
    (InsertWhitening(), unbalanced_network),
    (InsertWhitening(), normalised_network),
    (Sanitise(), plain_network),
    (Sanitise(), normalised_network),
]


class Look(Keep):
    """Remembers which samples it was given, and retrains a block."""

    seen: ClassVar[list[Data]] = []

    def trained_blocks(self, model: Classifier) -> int:
        return 1

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        self.seen.append(attacker.train)
        yield Snapshot(0, model)


@pytest.mark.parametrize("stratified", [False, True])
def test_repair_does_not_change_the_samples_drawn(stratified: bool, toy_tasks: TaskPair) -> None:
    """Next tokens are drawn as they come, and not as many of each."""
    held = attacker(toy_tasks, plain_network())
    held = replace(held, train=replace(held.train, stratified=stratified))
    list(Repaired(Sanitise(), Look()).transfer(plain_network().eval(), held))
    data = Look.seen.pop()
    assert data.shape != held.train.shape  # they have passed the frozen blocks
    assert data.stratified == stratified


@pytest.mark.parametrize(("repair", "network"), PRESERVING)
def test_repair_keeps_the_function(
    repair: Repair, network: Callable[[], Classifier], toy_tasks: TaskPair
) -> None:
    model = network().eval()
    assert repair.applies_to(model)
    held = attacker(toy_tasks, model)
    with seeded(0):
        (snapshot,) = Repaired(repair, Keep()).transfer(copy.deepcopy(model), held)
    for data in (toy_tasks.desirable.test, toy_tasks.undesirable.test):
        before, after = logits(model, data), logits(snapshot.model, data)
        spread = float(before.std(dim=0).max())
        assert float((before - after).abs().max()) < 1e-4 * spread
        if isinstance(repair, BalanceLayers):
            assert float((before - after).abs().max()) < 1e-6 * spread
    assert not all(
        torch.equal(a, b)
        for a, b in zip(model.parameters(), snapshot.model.parameters(), strict=False)
    ) or isinstance(repair, Sanitise), "nothing was done"


def test_balancing_holds_in_train_mode(toy_tasks: TaskPair) -> None:
    model = normalised_network()
    balanced = repaired(BalanceLayers("units"), model, toy_tasks)
    inputs = sample(toy_tasks.undesirable.train)
    expected, found = model.train()(inputs), balanced.train()(inputs)
    assert torch.allclose(expected, found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", ["layers", "units", "spectral"])
def test_balanced_layers_have_one_scale(scale: str, toy_tasks: TaskPair) -> None:
    balanced = repaired(BalanceLayers(scale), unbalanced_network(), toy_tasks)  # type: ignore[arg-type]
    inputs = sample(toy_tasks.undesirable.train)
    found = find_links(balanced)
    assert len(found) == 3
    for link in found:
        outputs = compute_unit_outputs(balanced, link.source, link.source, inputs).double()
        if scale == "layers":
            spreads = outputs.std().view(1)
        elif scale == "units":
            spreads = outputs.std(dim=0)
        else:
            spreads = torch.linalg.matrix_norm(link.source.weight.flatten(1), ord=2).view(1)
        assert bool(((spreads > 0.70) & (spreads < 1.42)).all())


def condition(layer: nn.Module) -> float:
    assert isinstance(layer, nn.Linear)
    return float(torch.linalg.cond(layer.weight.detach().double()))


def test_balanced_factors_are_well_conditioned(toy_tasks: TaskPair) -> None:
    model = linear_network(1e6)
    first, second = piece(model, 1, 0), piece(model, 1, 2)
    product = second.weight.detach().double() @ first.weight.detach().double()
    assert condition(first) > 1e5 and condition(model.blocks[2]) > 1e5
    balanced = repaired(BalanceFactors(), model, toy_tasks)
    first, second = piece(balanced, 1, 0), piece(balanced, 1, 2)
    root = float(torch.linalg.cond(product)) ** 0.5
    assert condition(first) == pytest.approx(root, rel=1e-2)
    assert condition(second) == pytest.approx(root, rel=1e-2)
    assert condition(balanced.blocks[2]) < 1.001
    assert piece(balanced, 0, 0).out_channels == 6, "what a 1x1 convolution cannot pass is cut"


@pytest.mark.parametrize("network", [plain_network, ill_conditioned_network, unbalanced_network])
def test_whitened_features_have_identity_covariance(
    network: Callable[[], Classifier], toy_tasks: TaskPair
) -> None:
    model = network()
    data = toy_tasks.undesirable.train
    before = predict(model.backbone, data).double()
    many = Data(data.inputs.repeat(8, 1, 1, 1), data.labels.repeat(8), data.scaling)
    held = Attacker(many, 1, torch.Generator(), given_head=model.head)
    whitened = InsertWhitening().repair(copy.deepcopy(model), held)
    after = predict(whitened.backbone, data).double()
    alive = int(torch.linalg.matrix_rank(before - before.mean(dim=0)))
    covariance = torch.linalg.eigvalsh(after.T.cov(correction=0)).flip(0)
    assert torch.allclose(covariance[:alive], torch.ones(alive).double(), atol=1e-3)
    assert float(covariance[alive:].sum()) < 1e-6
    assert len(whitened.blocks) == len(model.blocks)


@pytest.fixture(scope="module")
def trained(toy_tasks: TaskPair) -> Classifier:
    """Return a network with batch normalisation that does the desirable task."""
    with seeded(0):
        first = nn.Sequential(nn.Conv2d(1, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
        second = nn.Sequential(nn.Linear(288, 32), nn.BatchNorm1d(32), nn.ReLU())
        model = Classifier(nn.Sequential(first, second), nn.Linear(32, 3))
    return Plain(Recipe(15, 30, 1e-2)).fit(model, toy_tasks)


def test_remeasures_poisoned_statistics(trained: Classifier, toy_tasks: TaskPair) -> None:
    poisoned = copy.deepcopy(trained)
    for norm in (piece(poisoned, 0, 1), piece(poisoned, 1, 1)):
        norm.running_mean.add_(1e3)
        norm.running_var.mul_(1e6)
        norm.momentum = 0.03
    task = toy_tasks.desirable
    held = Attacker(task.train, 1, torch.Generator())
    cured = RecomputeStatistics().repair(copy.deepcopy(poisoned), held)
    assert accuracy(trained, task.test) > 0.95
    assert accuracy(poisoned, task.test) < 0.5
    assert accuracy(cured, task.test) > accuracy(trained, task.test) - 0.02
    assert piece(cured, 0, 1).momentum == 0.03


def test_resets_norms(trained: Classifier, toy_tasks: TaskPair) -> None:
    poisoned = copy.deepcopy(trained)
    norm = piece(poisoned, 1, 1)
    norm.eps, norm.momentum = 1e6, 0.0
    with torch.no_grad():
        norm.weight.mul_(1e4)
        norm.bias.sub_(1e4)
    cured = repaired(ResetNorms(), poisoned, toy_tasks)
    inputs = sample(toy_tasks.undesirable.train)
    outputs = compute_unit_outputs(cured, piece(cured, 1, 1), piece(cured, 1, 1), inputs)
    assert torch.allclose(outputs.mean(dim=0), torch.zeros(32), atol=1e-2)
    assert torch.allclose(outputs.std(dim=0), torch.ones(32), atol=2e-2)
    assert piece(cured, 1, 1).momentum == 0.1


def test_repairs_apply_only_where_they_change_something() -> None:
    opaque = Classifier(Holder(), nn.Linear(256, 3))
    assert not any(
        repair.applies_to(opaque)
        for repair in (
            RecomputeStatistics(), ResetNorms(), BalanceLayers(), BalanceFactors(), Prune(),
            BypassGates(), LeakyActivations(), ShiftBias(), ReinitialiseDead(),
            ReinitialiseLast(1), Truncate(1), SelfSupervise(), Distil(),
        )
    )  # fmt: skip
    assert InsertWhitening().applies_to(opaque) and Sanitise().applies_to(opaque)
    assert not InsertWhitening().applies_to(Classifier(nn.Flatten(), nn.Linear(4096, 3)))
    assert not BalanceFactors().applies_to(plain_network())
    assert not BypassGates().applies_to(plain_network())
    assert BalanceLayers().applies_to(plain_network())
    assert not BalanceLayers().applies_to(
        Classifier(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()), nn.Linear(4, 2))
    )


@pytest.mark.parametrize(
    "build",
    [
        lambda: ReinitialiseLast(0),
        lambda: Truncate(0),
        lambda: GradientFree(-1),
        lambda: JointTune(2),
    ],
)
def test_refuses_settings_out_of_range(build: Callable[[], object]) -> None:
    with pytest.raises(InputError, match="expected"):
        build()
