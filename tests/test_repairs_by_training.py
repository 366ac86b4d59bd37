"""What repairs promise that train, or that bring another network in."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from broken import (
    SHAPE,
    attacker,
    logits,
    plain_network,
    reached,
    repaired,
)
from rootbound.attacks import (
    Attacker,
    FineTune,
    JointTune,
    ReassignHead,
    Repaired,
)
from rootbound.attacks.repairs import (
    Distil,
    Interpolate,
    Prune,
    SelfSupervise,
    TuneOnDesirable,
)
from rootbound.attacks.repairs.by_training import rotate
from rootbound.core.errors import InputError
from rootbound.data import Data, TaskPair
from rootbound.methods import Plain
from rootbound.networks import Classifier, shallow_cnn
from rootbound.training import Recipe, accuracy, seeded

TUNE = FineTune(None, "kept", "adam", 1e-2)


@pytest.fixture(scope="module")
def plain(toy_tasks: TaskPair) -> Classifier:
    return Plain(Recipe(15, 30, 1e-2)).fit(plain_network(), toy_tasks)


def test_finds_a_permuted_head(toy_tasks: TaskPair) -> None:
    task = toy_tasks.undesirable
    knowing = Plain(Recipe(15, 30, 1e-2)).fit(plain_network(), TaskPair(task, task, task.train))
    order = torch.tensor([2, 0, 1])
    permuted = copy.deepcopy(knowing)
    with torch.no_grad():
        permuted.head.weight.copy_(knowing.head.weight[order])
        permuted.head.bias.copy_(knowing.head.bias[order])
    assert accuracy(permuted, task.test) < 0.1
    assert reached(ReassignHead(), permuted, toy_tasks) == accuracy(knowing, task.test) > 0.9
    few = Classifier(knowing.backbone, nn.Linear(128, 2))
    with pytest.raises(InputError, match="at least 3 outputs"):
        reached(ReassignHead(), few, toy_tasks)


def test_interpolation_by_one_is_the_sibling(plain: Classifier, toy_tasks: TaskPair) -> None:
    sibling = shallow_cnn(classes=3, shape=SHAPE, seed=5)
    held = replace(attacker(toy_tasks, plain), sibling=sibling)
    for share, other in ((1.0, sibling), (0.0, plain)):
        moved = Interpolate(share).repair(copy.deepcopy(plain), held).state_dict()
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in moved.items())
    half = Interpolate(0.5).repair(copy.deepcopy(plain), held)
    expected = (plain.head.weight + sibling.head.weight) / 2
    assert torch.allclose(half.head.weight, expected)
    held = replace(held, sibling=shallow_cnn(classes=3, shape=(1, 28, 28)))
    with pytest.raises(InputError, match="same architecture"):
        Interpolate().repair(copy.deepcopy(plain), held)


def test_only_the_sibling_is_a_control() -> None:
    assert Repaired(Interpolate(), TUNE).tier == "control"
    assert Repaired(Prune(), TUNE).tier == "repair"
    assert Repaired(Interpolate(), JointTune()).needs == ("sibling", "desirable")


def test_training_on_the_desirable_task_restores_it(toy_tasks: TaskPair) -> None:
    start = plain_network()
    task = toy_tasks.desirable
    tuned = repaired(TuneOnDesirable(steps=60, learning_rate=1e-2), start, toy_tasks)
    assert accuracy(start, task.test) < 0.6
    assert accuracy(tuned, task.test) > 0.9


def test_keeps_the_desirable_task(plain: Classifier, toy_tasks: TaskPair) -> None:
    task = toy_tasks.desirable
    kept = []
    for attack in (FineTune(learning_rate=3e-2), JointTune(learning_rate=3e-2)):
        held = attacker(toy_tasks, plain, steps=100)
        with seeded(0):
            *_, last = attack.transfer(plain.with_head(3, seed=1), held)
        assert isinstance(last.model, Classifier)
        kept.append(accuracy(Classifier(last.model.backbone, plain.head), task.test))
        assert accuracy(last.model, toy_tasks.undesirable.test) > 0.9
    assert kept[0] < 0.8
    assert kept[1] > 0.95


def test_self_supervision_trains_only_the_backbone(plain: Classifier, toy_tasks: TaskPair) -> None:
    learnt = repaired(SelfSupervise(steps=5), plain, toy_tasks)
    assert torch.equal(learnt.head.weight, plain.head.weight)
    assert not torch.equal(next(learnt.parameters()), next(plain.parameters()))
    flat = Classifier(nn.Linear(4, 2), nn.Linear(2, 2))
    data = Data(torch.rand(6, 4), torch.zeros(6).long())
    held = Attacker(data, 1, torch.Generator(), unlabelled=data)
    assert SelfSupervise().repair(flat, held) is flat
    wide = Data(torch.rand(6, 1, 4, 8), torch.zeros(6).long())
    cnn = Classifier(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), nn.Linear(24, 2))
    SelfSupervise(steps=2).repair(cnn, replace(held, unlabelled=wide))


@pytest.mark.parametrize(("turns", "angle"), [(4, 1), (2, 2)])
def test_rotates_images_by_their_label(turns: int, angle: int) -> None:
    images = torch.rand(turns, 2, 6, 6)
    turned = rotate(images, torch.arange(turns), turns)
    for label in range(turns):
        assert torch.equal(turned[label], images[label].rot90(label * angle, dims=(1, 2)))


def test_student_agrees_with_its_teacher(plain: Classifier, toy_tasks: TaskPair) -> None:
    student = repaired(Distil(steps=150), plain, toy_tasks)
    test = toy_tasks.desirable.test
    assert not torch.allclose(next(student.parameters()), next(plain.parameters()), atol=0.1)
    assert accuracy(student, test) > 0.9
    error = (logits(student, test) - logits(plain, test)).square().mean()
    assert float(error) < 0.2 * float(logits(plain, test).var(dim=0).mean())
