"""What repairs of units, of activations and of whole parts promise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from broken import (
    Pairwise,
    TinyGradient,
    Trap,
    ending_in,
    normalised_network,
    piece,
    plain_network,
    reached,
    repaired,
    starting_with,
)
from rootbound.attacks import (
    FineTune,
    GradientFree,
    Repair,
    Repaired,
)
from rootbound.attacks.repairs import (
    BypassGates,
    LeakyActivations,
    Prune,
    ReinitialiseDead,
    Sanitise,
    ShiftBias,
    Truncate,
)
from rootbound.attacks.repairs.network import compute_unit_outputs, sample
from rootbound.data import TaskPair
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.training import Recipe, predict


def test_revives_dead_units_and_keeps_others(toy_tasks: TaskPair) -> None:
    model = plain_network()
    with torch.no_grad():
        piece(model, 0, 0).bias[:7] = -1e4
        piece(model, 2, 1).bias[::2] = -1e4
    alive = piece(model, 0, 0).weight[7:].clone()
    inputs = sample(toy_tasks.undesirable.train)
    revived = repaired(ReinitialiseDead(), model, toy_tasks)
    assert torch.equal(piece(revived, 0, 0).weight[7:], alive)
    assert not torch.equal(piece(revived, 0, 0).weight[:7], piece(model, 0, 0).weight[:7])
    for block, position, dead in ((0, 0, slice(7)), (2, 1, slice(None, None, 2))):
        layer, activation = piece(revived, block, position), piece(revived, block, position + 1)
        shares = (
            (compute_unit_outputs(revived, activation, layer, inputs) > 0)
            .double()
            .mean(dim=0)[dead]
        )
        assert bool(((shares > 0.1) & (shares < 0.9)).all())


def test_revives_saturated_units_and_dead_norms(toy_tasks: TaskPair) -> None:
    model = normalised_network()
    model.blocks[3].register_module("2", nn.Sigmoid())
    with torch.no_grad():
        piece(model, 3, 1).bias.fill_(1e4)
        piece(model, 0, 1).weight.zero_()
    inputs = sample(toy_tasks.undesirable.train)
    assert float(predict(model.backbone, toy_tasks.undesirable.train).std(dim=0).max()) < 1e-6
    revived = repaired(ReinitialiseDead(), model, toy_tasks)
    assert float(revived.features(inputs).detach().std(dim=0).min()) > 1e-3


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_shifted_biases_activate_every_unit(share: float, toy_tasks: TaskPair) -> None:
    model = plain_network()
    with torch.no_grad():
        piece(model, 1, 0).bias.sub_(1e3)
    shifted = repaired(ShiftBias(share), model, toy_tasks)
    inputs = sample(toy_tasks.undesirable.train)
    for block, position in enumerate((0, 0, 1)):
        layer = piece(shifted, block, position)
        found = (compute_unit_outputs(shifted, layer, layer, inputs) > 0).double().mean(dim=0)
        assert float((found - share).abs().max()) < 0.02


def test_replaces_flat_activations_everywhere(toy_tasks: TaskPair) -> None:
    shared = nn.ReLU()
    blocks = nn.Sequential(nn.Flatten(), nn.Linear(256, 8), shared, nn.Linear(8, 8), shared)
    model = Classifier(nn.Sequential(blocks, nn.Threshold(5.0, 0.0), nn.Tanh()), nn.Linear(8, 3))
    leaky = repaired(LeakyActivations(0.2), model, toy_tasks)
    kinds = [type(part) for part in leaky.modules()]
    assert kinds.count(nn.LeakyReLU) == 3 and kinds.count(nn.Tanh) == 1
    assert nn.ReLU not in kinds and nn.Threshold not in kinds


def test_pruning_removes_the_smallest_weights(toy_tasks: TaskPair) -> None:
    model = plain_network()
    pruned = repaired(Prune(0.7), model, toy_tasks)
    for before, after in zip(model.blocks, pruned.blocks, strict=True):
        old, new = next(before.parameters()).detach(), next(after.parameters()).detach()
        gone = new == 0
        assert float(gone.double().mean()) == pytest.approx(0.7, abs=0.01)
        assert float(old[gone].abs().max()) <= float(old[~gone].abs().min())
        assert torch.equal(old[~gone], new[~gone])


TUNE = FineTune(None, "kept", "adam", 1e-2)


@pytest.fixture(scope="module")
def plain(toy_tasks: TaskPair) -> Classifier:
    return Plain(Recipe(15, 30, 1e-2)).fit(plain_network(), toy_tasks)


@pytest.mark.parametrize("repair", [Truncate(1), BypassGates(), Sanitise()])
def test_repair_gets_around_a_final_trap(
    repair: Repair, plain: Classifier, toy_tasks: TaskPair
) -> None:
    model = ending_in(plain, Trap())
    assert reached(TUNE, model, toy_tasks) == 0.0
    least = 0.5 if isinstance(repair, Sanitise) else 0.9  # half of the inputs say 0
    assert reached(Repaired(repair, TUNE), model, toy_tasks) > least


def test_truncated_features_are_flat_and_few(toy_tasks: TaskPair) -> None:
    for blocks, width in ((1, 32 * 1), (2, 16 * 5 * 5)):
        model = repaired(Truncate(blocks), plain_network(), toy_tasks)
        assert len(model.blocks) == 3 - blocks
        assert model.head.in_features == width
    wide = Classifier(nn.Sequential(nn.Conv2d(1, 64, 3), nn.Flatten()), nn.Linear(64 * 196, 3))
    assert repaired(Truncate(1), wide, toy_tasks).head.in_features == 64 * 2 * 2


def test_gradients_stay_finite_behind_a_trap(plain: Classifier, toy_tasks: TaskPair) -> None:
    model = starting_with(Trap(), plain)
    inputs = sample(toy_tasks.undesirable.train)
    for network, finite in ((model, False), (repaired(Sanitise(), model, toy_tasks), True)):
        network(inputs).sum().backward()
        gradient = next(network.parameters()).grad
        assert gradient is not None
        assert bool(torch.isfinite(gradient).all()) == finite
        assert float(gradient.abs().max()) != 0, "those that are not caught still teach"


def test_bypasses_tiny_gradient_gates(plain: Classifier, toy_tasks: TaskPair) -> None:
    model = ending_in(starting_with(TinyGradient(), plain), TinyGradient())
    inputs = sample(toy_tasks.undesirable.train)
    opened = repaired(BypassGates(), model, toy_tasks)
    sizes = []
    for network in (plain, model, opened):
        network.zero_grad()
        network(inputs).square().sum().backward()
        gradient = next(network.parameters()).grad
        assert gradient is not None
        sizes.append(float(gradient.abs().max()))
    assert sizes[1] < 1e-9 * sizes[0]
    assert sizes[2] == pytest.approx(sizes[0])


def test_keeps_gates_that_change_the_shape(toy_tasks: TaskPair) -> None:
    model = ending_in(plain_network(), nn.Sequential(TinyGradient(), Pairwise()))
    model.head = nn.Linear(64, 3)
    opened = repaired(BypassGates(), model, toy_tasks)
    kinds = [type(part) for part in opened.modules()]
    assert Pairwise in kinds and TinyGradient not in kinds


def test_no_gate_stops_an_attack_without_gradients(plain: Classifier, toy_tasks: TaskPair) -> None:
    model = ending_in(plain, TinyGradient())
    attack = GradientFree(pairs=32)
    assert reached(attack, model, toy_tasks) > 0.75
    assert reached(attack, plain, toy_tasks) == pytest.approx(reached(attack, model, toy_tasks))
    one = GradientFree(0)
    assert reached(one, plain, toy_tasks) < reached(attack, plain, toy_tasks)
