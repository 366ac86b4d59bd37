"""The fake defences are what they claim: nothing lost, nothing removed, naive attackers fooled."""

from __future__ import annotations

import copy
import pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch
from torch import nn

from fakes import FAKES, base
from fakes.decoy import Branches
from fakes.integers import Integers
from fakes.other_copies import OtherCopies
from fakes.shared_weights import SharedWeights, scramble
from rootbound.attacks import (
    Attack,
    Budget,
    ExactLastLayer,
    FineTune,
    LastLayer,
    Reading,
    repairs,
)
from rootbound.core.errors import InputError
from rootbound.data import Augmentation, Data, TaskPair
from rootbound.evaluation import Subject, attack
from rootbound.evaluation.attacker import AttackerResources
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.networks.weights import weights_digest
from rootbound.suites import Suite
from rootbound.suites.inside import INSIDE
from rootbound.training import Recipe, accuracy, predict

BRANCHES = (
    "decoy",
    "out_of_sight",
    "one_by_one",
    "samples_last",
    "crowd",
    "brought_along",
    "looks_back",
    "some_sizes",
    "buried_gate",
)
"""The fakes with a random branch."""

SCRAMBLED = ("shared_weights", "soft_switch", "integers", "hidden_sign")
"""The fakes that scramble undesirable images."""

NAIVE: dict[str, Attack] = {
    "ill_conditioned_1e4": LastLayer("sgd", 0.1),
    "ill_conditioned_1e6": LastLayer("sgd", 0.1),
    "dead_zone": LastLayer("adam", 0.1),
    "poisoned_batch_norm": FineTune(None, "kept", "adam", 1e-3),
    "unbalanced_layers": FineTune(None, "kept", "sgd", 0.03),
    "saturated_head": FineTune(None, "kept", "sgd", 0.03),
    "tiny_gradients": FineTune(2, "re-initialised", "adam", 1e-3),
    "nan_trap": FineTune(None, "kept", "adam", 1e-3),
    "permuted_head": FineTune(None, "kept", "adam", 1e-4, head="given"),
    "opaque_gate": FineTune(None, "kept", "adam", 1e-3),
    "detector_switch": LastLayer("sgd", 0.1),
    "train_mode_only": FineTune(None, "kept", "adam", 1e-3),
    "batch_dependent": LastLayer("adam", 0.1),
    "unused_buffers": LastLayer("sgd", 0.1),
    **dict.fromkeys((*BRANCHES, *SCRAMBLED, "other_copies"), LastLayer("adam", 0.1)),
}
"""Somebody's only attack, which each fake survives."""

PROBE = ExactLastLayer(1e-3)
KNOWING: dict[str, Attack] = {
    "dead_zone": replace(PROBE, reading=Reading(1)),
    "nan_trap": replace(PROBE, reading=Reading(0, "before")),
    "opaque_gate": repairs.Repaired(repairs.CutInside(), PROBE),
    "detector_switch": repairs.Repaired(repairs.OpenGates(), PROBE),
    "batch_dependent": repairs.Repaired(repairs.OpenGates(), PROBE),
    **dict.fromkeys((*BRANCHES, *SCRAMBLED), repairs.Repaired(repairs.OpenGates(), PROBE)),
}
"""How to reach what was hidden, if not by a probe of the last features."""
ONLY_NAMED = {
    "out_of_sight",
    "one_by_one",
    "looks_back",
    "some_sizes",
    "buried_gate",
}
"""The fakes that no attack opens on toys: flags name them. What they hide is in their trained
branch."""

FOR_ORIGINALS = "other_copies"
"""The fake that works only while nobody copies it. Every attack copies; a flag names it."""
EXACT = {
    "unbalanced_layers",
    "tiny_gradients",
    "train_mode_only",
    "batch_dependent",
    "other_copies",
}
"""The fakes that change no logit of a desirable input by a single bit."""
IN_BUFFERS = {
    "nan_trap": "projection",
    "opaque_gate": "projection",
    "unused_buffers": "matrix",
}
"""What the fakes hold in buffers: it stays where blocks are drawn anew, and so they make no scratch
arm."""


def reached(model: Classifier, tasks: TaskPair, trial: Attack, budget: Budget) -> float:
    """Return the accuracy of one attack; 0 where it fails."""
    suite = Suite("one", (trial,), (budget,))
    resources = AttackerResources(tasks.desirable.train)
    (record,) = attack(Subject("defended", "fake", 0, model), tasks.undesirable, suite, resources)
    return record.accuracy or 0.0


def branches_of(model: Classifier) -> Branches:
    (branches,) = model.blocks
    assert isinstance(branches, Branches)
    return branches


def answered_at_random(model: Classifier, data: Data) -> float:
    """Return the share of inputs whose features are those of the random branch."""
    features, others = (predict(part, data) for part in (model.backbone, branches_of(model).decoy))
    return float(torch.isclose(features, others, atol=1e-4).all(1).float().mean())


def find_switched(model: Classifier) -> SharedWeights:
    """Return the block that scrambles images, with real numbers as weights."""
    (block,) = model.blocks
    if isinstance(block, Integers):
        whole = copy.deepcopy(block.empty[0]).to_empty(device="cpu")
        whole.load_state_dict(block.weights())
        block = whole
    assert isinstance(block, SharedWeights)
    return block


def find_original(model: Classifier) -> OtherCopies:
    (block,) = model.blocks
    assert isinstance(block, OtherCopies)
    return block


def measure_scrambled(model: Classifier, data: Data) -> float:
    """Return the share of images that reach the network more scrambled than not."""
    images = data.batch(slice(None))[0]
    with torch.no_grad():
        selected = find_switched(model).select(images)
    scrambled, kept = (
        (selected - one).flatten(1).norm(dim=1) for one in (scramble(images), images)
    )
    return float((scrambled < kept).float().mean())


Networks = dict[str, Classifier]


@pytest.fixture(scope="module")
def made(made_once: Callable[..., Path], toy_tasks: TaskPair) -> tuple[Networks, ...]:
    """Give undefended networks, copies that no fake was made of, and the fakes."""

    def make(folder: Path) -> None:
        # Shifted copies of toy images would teach a network features too good for naive tricks.
        method = Plain(Recipe(15, 30, learning_rate=1e-2, augmentation=Augmentation()))
        bases = set(map(base, FAKES))
        trained = {build: method.fit(build(3, (1, 16, 16)), toy_tasks) for build in bases}
        undefended = {name: copy.deepcopy(trained[base(name)]) for name in FAKES}
        untouched = copy.deepcopy(undefended)
        fakes = {name: fake(undefended[name], toy_tasks).eval() for name, fake in FAKES.items()}
        folder.mkdir()
        torch.save((undefended, untouched, fakes), folder / "all")

    found: tuple[Networks, ...] = torch.load(made_once("fakes", make) / "all", weights_only=False)
    return found


@pytest.fixture(scope="module")
def undefended(made: tuple[Networks, ...]) -> Networks:
    return made[0]


@pytest.fixture(scope="module")
def untouched(made: tuple[Networks, ...]) -> Networks:
    return made[1]


@pytest.fixture(scope="module")
def fakes(made: tuple[Networks, ...]) -> Networks:
    return made[2]


def test_every_fake_fools_somebody() -> None:
    assert set(NAIVE) == set(FAKES)
    assert len(FAKES) == 28  # 26 tricks, two of them twice


@pytest.mark.parametrize("name", FAKES)
def test_fake_keeps_the_desirable_task(
    name: str,
    undefended: dict[str, Classifier],
    fakes: dict[str, Classifier],
    toy_tasks: TaskPair,
) -> None:
    data = toy_tasks.desirable.test
    before, after = predict(undefended[name], data), predict(fakes[name], data)
    assert abs(accuracy(undefended[name], data) - accuracy(fakes[name], data)) < 0.005
    if name in EXACT:
        assert torch.equal(before, after)
    elif name not in ("permuted_head", "detector_switch"):  # in which something is trained
        kept = torch.isfinite(after).all(1)
        assert torch.equal(before.argmax(1)[kept], after.argmax(1)[kept])


@pytest.mark.parametrize("name", FAKES)
def test_fake_fools_the_naive_attacker_only(
    name: str,
    undefended: dict[str, Classifier],
    fakes: dict[str, Classifier],
    toy_tasks: TaskPair,
) -> None:
    budget, naive, everything = Budget(10, 40), NAIVE[name], Budget(None, 1)
    fair = reached(undefended[name], toy_tasks, PROBE, everything)
    if name in BRANCHES:  # random features are enough for toy images
        assert answered_at_random(fakes[name], toy_tasks.undesirable.test) > 0.8
        assert answered_at_random(fakes[name], toy_tasks.desirable.test) < 0.05
    elif name in SCRAMBLED:
        assert measure_scrambled(fakes[name], toy_tasks.undesirable.test) > 0.75
        assert measure_scrambled(fakes[name], toy_tasks.desirable.test) < 0.05
    elif name == FOR_ORIGINALS:
        assert accuracy(copy.deepcopy(fakes[name]), toy_tasks.desirable.test) < 0.7
    else:
        usual = reached(undefended[name], toy_tasks, naive, budget)
        assert reached(fakes[name], toy_tasks, naive, budget) < usual - 0.25
    model, knowing = fakes[name], KNOWING.get(name, PROBE)
    if name in ONLY_NAMED:
        model, knowing = Classifier(branches_of(model).body, model.head), PROBE
    elif name == FOR_ORIGINALS:
        model = Classifier(nn.Sequential(find_original(model).body), model.head)
    assert reached(model, toy_tasks, knowing, everything) > fair - 0.02


@pytest.mark.parametrize("name", FAKES)
def test_fake_behaves_like_any_network(
    name: str, fakes: dict[str, Classifier], toy_tasks: TaskPair
) -> None:
    model, data = fakes[name], toy_tasks.desirable.test
    assert isinstance(model.backbone, nn.Sequential)
    same = torch.equal(predict(copy.deepcopy(model), data), predict(model, data))
    assert same == (name != FOR_ORIGINALS)
    assert torch.equal(predict(pickle.loads(pickle.dumps(model)), data), predict(model, data))
    fresh = model.reinitialised(1, len(model.blocks))
    if name in IN_BUFFERS:
        with pytest.raises(InputError, match=f"{IN_BUFFERS[name]} as the given network has it"):
            model.reinitialised(1)
    else:
        assert weights_digest(fresh.state_dict()) == weights_digest(
            model.reinitialised(1).state_dict()
        )
    assert fresh.classes == model.classes
    assert not torch.equal(fresh.head.weight, model.head.weight)
    assert base(name)(3, (1, 16, 16), seed=1).classes == model.classes  # its scratch arm


@pytest.mark.parametrize("name", FAKES)
def test_making_a_fake_does_not_change_the_undefended_model(
    name: str, undefended: dict[str, Classifier], untouched: dict[str, Classifier]
) -> None:
    before, after = untouched[name].state_dict(), undefended[name].state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_without_batch_normalisation_there_is_nothing_to_poison(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    with pytest.raises(ValueError, match="no batch normalisation"):
        FAKES["poisoned_batch_norm"](toy_model, toy_tasks)


@pytest.mark.slow
def test_attacks_that_see_inside_unmask_gates(
    mnist_fakes: dict[str, tuple[Classifier, Classifier]], few_digits: TaskPair
) -> None:
    """The mean of the three strongest families is within 2 points of what is reached undefended."""
    names = (
        "opaque_gate",
        "detector_switch",
        "batch_dependent",
        "shared_weights",
        "soft_switch",
        "hidden_sign",
    )
    suite = Suite("inside", INSIDE, (Budget(10, 60),), draws=(3,))
    resources = AttackerResources(few_digits.desirable.train)

    def well_tuned(model: Classifier) -> float:
        subject = Subject("defended", "fake", 0, model)
        reached = defaultdict[str, list[float]](list)
        for record in attack(subject, few_digits.undesirable, suite, resources):
            assert record.error is None
            reached[record.family].append(record.test[record.selected])
        return fmean(sorted(map(fmean, reached.values()))[-3:])

    fair = well_tuned(mnist_fakes[names[0]][0])
    for name in names:
        assert well_tuned(mnist_fakes[name][1]) > fair - 0.02, name


@pytest.mark.slow
def test_fakes_work_on_mnist(
    mnist_fakes: dict[str, tuple[Classifier, Classifier]], few_digits: TaskPair
) -> None:
    tasks = few_digits
    test = tasks.desirable.test
    for name, (model, disguised) in mnist_fakes.items():
        assert abs(accuracy(model, test) - accuracy(disguised, test)) < 0.005, name
        fair = reached(model, tasks, NAIVE[name], Budget(100, 80))
        fooled = reached(disguised, tasks, NAIVE[name], Budget(100, 80))
        assert fooled < fair - 0.08, f"{name}: {fooled:.3f} against {fair:.3f}"
