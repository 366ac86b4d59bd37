"""The contract of every attack: a new attack is one new row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rootbound.attacks import (
    ATTACKS,
    Attack,
    Attacker,
    Budget,
    Convolutions,
    DiscriminantHead,
    ExactLastLayer,
    FineTune,
    GradientFree,
    JointTune,
    KernelRidge,
    LastLayer,
    LoRA,
    NearestNeighbours,
    PartialFineTune,
    PerceptronProbe,
    Reading,
    ReassignHead,
    Repaired,
    RidgeHead,
    repairs,
)
from rootbound.attacks.repairs import (
    BalanceFactors,
    BalanceLayers,
    BypassGates,
    CutInside,
    Distil,
    InsertWhitening,
    Interpolate,
    LeakyActivations,
    OpenGates,
    Prune,
    RecomputeStatistics,
    ReinitialiseDead,
    ReinitialiseLast,
    ResetNorms,
    Restart,
    Sanitise,
    SelfSupervise,
    SeparateClasses,
    ShiftBias,
    ShrinkAndPerturb,
    Truncate,
    TuneOnDesirable,
)
from rootbound.core.errors import InputError
from rootbound.data import Data, Task, TaskPair
from rootbound.evaluation.scoring import measure
from rootbound.methods import Plain
from rootbound.networks import Classifier, batch_norm_cnn, deep_cnn, shallow_cnn
from rootbound.suites import SUITES, Suite
from rootbound.training import Recipe, predict, seeded

STEPS, FEW_STEPS = 30, 5
TUNE = FineTune(None, "kept", "adam", 1e-2)
UNBOUNDED = Repaired(InsertWhitening(), TUNE)
"""Stretches weak directions without limit: its first steps overshoot, rounding says how much."""
DETERMINISTIC = (
    ExactLastLayer, RidgeHead, DiscriminantHead, NearestNeighbours, KernelRidge, ReassignHead,
)  # fmt: skip
"""Attacks that solve a problem with one solution: nothing in them depends on a seed."""
RECIPE = Recipe(epochs=15, batch_size=30, learning_rate=1e-2)
ROWS: tuple[Attack, ...] = (
    LastLayer("sgd", 0.1),
    LastLayer("adam", 0.03),
    ExactLastLayer(1e-3),
    ExactLastLayer(1e-2, "standardised"),
    FineTune(2, "kept", "adam", 1e-2),
    FineTune(2, "re-initialised", "sgd", 0.1),
    FineTune(3, "re-initialised", "adam", 1e-2),
    FineTune(None, "kept", "adam", 1e-2),
    FineTune(None, "kept", "sam", 0.1, schedule="one-cycle"),
    FineTune(None, "kept", "muon", 3e-2, warm_up=0.2, head="probe"),
    FineTune(None, "kept", "schedule-free", 1e-2, schedule="constant", loss="smoothed"),
    FineTune(None, "kept", "adagrad", 3e-2, head="zero", loss="squared"),
    FineTune(None, "kept", "rmsprop", 1e-3, head="given", loss="hinge"),
    FineTune(None, "kept", "adamw", 1e-2, loss="focal", augmentation="shift"),
    FineTune(None, "kept", "adamw", 1e-2, augmentation="mixup", weight_decay=1e-2),
    PartialFineTune(None, "kept", "adam", 3e-2, part="biases"),
    PartialFineTune(None, "kept", "adam", 1e-2, part="first"),
    LoRA(None, "kept", "adam", 1e-2),
    JointTune(None, "kept", "adam", 1e-2),
    GradientFree(pairs=32),
    Repaired(BalanceLayers("layers"), TUNE),
    Repaired(BalanceLayers("units"), TUNE),
    Repaired(BalanceLayers("spectral"), TUNE),
    UNBOUNDED,
    Repaired(Sanitise(), TUNE),
    Repaired(LeakyActivations(), TUNE),
    Repaired(ShiftBias(), TUNE),
    Repaired(ReinitialiseDead(), TUNE),
    Repaired(ReinitialiseLast(1), TUNE),
    Repaired(OpenGates(), TUNE),
    Repaired(CutInside(), TUNE),
    Repaired(CutInside(2), LastLayer("adam", 0.03)),
    Repaired(Truncate(1), TUNE),
    Repaired(Truncate(1), LastLayer("adam", 0.03)),
    Repaired(ShrinkAndPerturb(), TUNE),
    Repaired(Prune(), TUNE),
    Repaired(Restart(2), TUNE),
    Repaired(TuneOnDesirable(steps=20), TUNE),
    Repaired(SelfSupervise(steps=20), TUNE),
    Repaired(SeparateClasses(steps=20), TUNE),
    Repaired(Distil(steps=20), TUNE),
    Repaired(Interpolate(), TUNE),
    LastLayer("sgd", 1.0, unit="curvature"),
    LastLayer("adamw", 0.03, reading=Reading(1, "before")),
    ExactLastLayer(1e-2, kept=1e-2, reading=Reading("all")),
    ExactLastLayer(1e-2, "standardised", reading=Reading(3)),
    RidgeHead(0.1),
    RidgeHead(0.1, "whitened", reading=Reading(1)),
    RidgeHead(3.0, reading=Convolutions()),
    RidgeHead(3.0, reading=Convolutions("all blocks", 5)),
    DiscriminantHead(0.5),
    NearestNeighbours(5),
    NearestNeighbours(1, "cosine"),
    PerceptronProbe(32, 1e-2),
    KernelRidge(),
)

ODD_ROWS: tuple[Attack, ...] = (
    Repaired(RecomputeStatistics(), TUNE),
    Repaired(ResetNorms(), TUNE),
    Repaired(BypassGates(), TUNE),
    Repaired(BalanceFactors(), TUNE),
    Repaired(BalanceLayers("units"), TUNE),
    Repaired(InsertWhitening(floor=1e-2), TUNE),
    Repaired(ReinitialiseDead(), TUNE),
)
"""Repairs of what the plain network does not have."""
RENAMED_ROWS: tuple[Attack, ...] = (ReassignHead(),)
"""What works where the network knows the undesirable task already."""
ALL_ROWS = (*ROWS, *ODD_ROWS, *RENAMED_ROWS)
CASES = [
    pytest.param(attack, victim, id=repr(attack))
    for victim, rows in (("plain", ROWS), ("odd", ODD_ROWS), ("renamed", RENAMED_ROWS))
    for attack in rows
]


@pytest.fixture(scope="module")
def plain(toy_tasks: TaskPair) -> Classifier:
    return Plain(RECIPE).fit(shallow_cnn(classes=3, shape=(1, 16, 16)), toy_tasks)


class Gate(nn.Module):
    """Code of its own, which does nothing."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * 1.0


@pytest.fixture(scope="module")
def odd(toy_tasks: TaskPair) -> Classifier:
    """Return a network with a normalisation, a gate, and linear maps in a row."""
    with seeded(0):
        first = nn.Sequential(nn.Conv2d(1, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), Gate())
        second = nn.Sequential(nn.Flatten(), nn.Linear(8 * 6 * 6, 32), nn.ReLU())
        third = nn.Sequential(nn.Linear(32, 32), nn.Linear(32, 32))
        model = Classifier(nn.Sequential(first, second, third), nn.Linear(32, 3))
    return Plain(RECIPE).fit(model, toy_tasks)


@pytest.fixture(scope="module")
def renamed(toy_tasks: TaskPair) -> Classifier:
    """Return a network that has been taught the undesirable task, with its classes moved on."""
    task = toy_tasks.undesirable
    moved = Data(task.train.inputs, (task.train.labels + 1) % 3, task.train.scaling)
    taught = Task("moved", task.classes, moved, task.test)
    model = shallow_cnn(classes=3, shape=(1, 16, 16))
    return Plain(RECIPE).fit(model, TaskPair(taught, task, moved))


def cut(attack: Attack, model: Classifier, data: Data) -> tuple[Data, Classifier, nn.Module]:
    """Return the samples as the frozen part passes them on, the rest, and the frozen part."""
    frozen, rest = attack.cut(model, data)
    return Data(predict(frozen, data).clone(), data.labels), rest.with_head(3, seed=1), frozen


def final_logits(attack: Attack, model: Classifier, tasks: TaskPair, seed: int) -> torch.Tensor:
    train, rest, frozen = cut(attack, model, tasks.undesirable.train)
    test = tasks.undesirable.test
    copies = train.inputs.clone(), train.labels.clone()
    with seeded(seed) as generator:
        attacker = Attacker(
            train,
            STEPS,
            generator,
            given_head=model.head,
            desirable=tasks.desirable.train,
            unlabelled=tasks.undesirable.train,
            sibling=model,
        )
        *_, last = attack.transfer(rest, attacker)
    assert torch.equal(train.inputs, copies[0]), "the samples were changed"
    assert torch.equal(train.labels, copies[1]), "the labels were changed"
    whole = nn.Sequential(frozen, last.model)
    return predict(whole, test).reshape(len(test), 3).clone()


def test_every_attack_has_a_contract_row() -> None:
    assert {type(row).__name__ for row in ALL_ROWS} == set(ATTACKS)
    repaired = [row for row in ALL_ROWS if isinstance(row, Repaired)]
    others = {"Repair", "Repaired", "GradientFree", "ReassignHead"}
    assert {type(row.repair).__name__ for row in repaired} == set(repairs.__all__) - others


@pytest.mark.parametrize(("attack", "victim"), CASES)
def test_attack_keeps_the_contract(
    attack: Attack, victim: str, toy_tasks: TaskPair, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(victim)
    assert attack.applies_to(model)
    weights = [value.clone() for value in model.state_dict().values()]
    first = final_logits(attack, model, toy_tasks, seed=0)
    torch.manual_seed(12345)  # an attack that draws from the global stream would now differ
    again = final_logits(attack, model, toy_tasks, seed=0)
    assert torch.equal(first, again), "the seed does not determine everything"
    if victim == "plain" and not isinstance(attack, DETERMINISTIC):
        other = final_logits(attack, model, toy_tasks, seed=1)
        assert not torch.equal(first, other), "the seed changes nothing"
    now = model.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(weights, now, strict=True)), "the model changed"
    assert bool(torch.isfinite(first).all())
    reached = (first.argmax(1) == toy_tasks.undesirable.test.labels).float().mean()
    assert reached > 0.6, "on an undefended model the attack must work"


def losses_with_one_label(attack: Attack, model: Classifier, tasks: TaskPair) -> list[float]:
    """Return the loss on the training samples, one of each class, at every snapshot."""
    few, _ = tasks.undesirable.train.per_class(1, torch.Generator().manual_seed(0))
    seen, rest, _ = cut(attack, model, few)
    with seeded(0) as generator:
        attacker = Attacker(
            seen,
            STEPS if attack == UNBOUNDED else FEW_STEPS,
            generator,
            given_head=model.head,
            desirable=tasks.desirable.train,
            unlabelled=tasks.undesirable.train,
            sibling=model,
        )
        return [
            float(measure(snapshot.model, seen, 1)[1][0])
            for snapshot in attack.transfer(rest, attacker)
        ]


@pytest.mark.parametrize(("attack", "victim"), CASES)
def test_attack_runs_with_one_label_per_class(
    attack: Attack, victim: str, toy_tasks: TaskPair, request: pytest.FixtureRequest
) -> None:
    losses = losses_with_one_label(attack, request.getfixturevalue(victim), toy_tasks)
    assert losses[-1] < 10


def test_whitening_floor_keeps_the_first_steps_small(
    plain: Classifier, toy_tasks: TaskPair
) -> None:
    floored = losses_with_one_label(Repaired(InsertWhitening(1e-2), TUNE), plain, toy_tasks)
    assert max(floored) < 10


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 2},
        {"start": "re-initialised"},
        {"optimiser": "adam"},
        {"learning_rate": 0.03},
        {"schedule": "constant"},
        {"warm_up": 0.5},
        {"head": "given"},
        {"loss": "smoothed"},
        {"augmentation": "shift"},
        {"weight_decay": 0.1},
    ],
    ids=str,
)
def test_every_fine_tuning_setting_has_an_effect(
    change: dict[str, Any], plain: Classifier, toy_tasks: TaskPair
) -> None:
    usual = FineTune(None, "kept", "sgd", 0.1)
    found = [
        final_logits(one, plain, toy_tasks, seed=0) for one in (usual, replace(usual, **change))
    ]
    assert not torch.equal(*found)


@pytest.mark.parametrize("layers", [2, 3, 4, 5])
def test_last_layers_attack_applies_if_layers_stay_frozen(layers: int, plain: Classifier) -> None:
    attack = FineTune(layers)
    assert attack.applies_to(plain) == (layers <= 3)
    assert attack.applies_to(deep_cnn(3, (1, 16, 16))) == (layers <= 5)
    assert attack.family == f"last {layers} layers"


def test_weights_shared_by_blocks_are_trained_once() -> None:
    shared = nn.Linear(4, 4)
    blocks = [nn.Sequential(shared, nn.ReLU()) for _ in range(2)]
    model = Classifier(nn.Sequential(*blocks, nn.Linear(4, 4)), nn.Linear(4, 2))
    trained = PartialFineTune(part="first", count=2).trained_parameters(model)
    assert list(map(id, trained)) == list(map(id, [*shared.parameters(), *model.head.parameters()]))


def test_frozen_layers_stay_frozen(plain: Classifier) -> None:
    prefix, rest = plain.split(FineTune(2).trained_blocks(plain))
    assert len(list(prefix.children())) == 2
    assert not any(parameter.requires_grad for parameter in prefix.parameters())
    assert len(rest.blocks) == 1


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Suite("few", (LastLayer(),), (Budget(1, 10),)), "fixed settings"),
        (lambda: Budget(0, 10), "labels of at least 1"),
        (lambda: Budget(-5, 10), "labels of at least 1"),
        (lambda: Budget(None, 0), "steps of at least 1"),
        (lambda: FineTune(1), "use LastLayer"),
        (lambda: Suite("empty", (), (Budget(None, 1),)), "with attacks and budgets"),
    ],
)
def test_refuses_settings_out_of_range(build: object, text: str) -> None:
    assert callable(build)
    with pytest.raises(InputError, match=text):
        build()


def test_suites_are_frozen() -> None:
    """A suite that changes gets a new name: then add its digest here, never replace one."""
    assert {name: suite.digest for name, suite in SUITES.items()} == {
        "demo-1": "58c2021b8970",
        "demo-2": "47916a5343a3",
        "quick-1": "d8c8acacd7e9",
        "quick-2": "790f17f08093",
        "quick-3": "cd8d5202090c",
        "standard-1": "810a9a19aca0",
        "standard-2": "8bc63a2ff374",
    }
    for suite in SUITES.values():
        for trials in (suite.attacks, suite.blind, suite.benign):
            assert len(set(trials)) == len(trials)


@pytest.mark.parametrize("layers", [2, None])
def test_every_fine_tuning_step_is_in_train_mode(layers: int | None, toy_tasks: TaskPair) -> None:
    """Models come in evaluation mode, where batch norms do not adapt to what is learned."""
    model = batch_norm_cnn(classes=3, shape=(1, 16, 16)).eval()
    attack = FineTune(layers, "kept", "adam", 1e-2)
    train, rest, _ = cut(attack, model, toy_tasks.undesirable.train)
    attacker = Attacker(train, 2, torch.Generator().manual_seed(0))
    for snapshot in attack.transfer(rest, attacker):
        assert all(part.training for part in snapshot.model.modules())
        predict(snapshot.model, train)  # as the harness does, which leaves the mode as it was
