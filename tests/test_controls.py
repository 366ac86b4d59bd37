"""Arms without a defence, and the harmless third task."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rootbound import metrics
from rootbound.attacks import Budget, ExactLastLayer, FineTune, LastLayer
from rootbound.core.errors import InputError
from rootbound.data import Data, Task, TaskPair
from rootbound.datasets.conversion import rotation_task
from rootbound.evaluation import evaluate
from rootbound.evaluation.contenders import RAW_INPUTS, SMALL_NET, make_controls
from rootbound.networks import Classifier, deep_cnn, shallow_cnn
from rootbound.networks.weights import weights_digest
from rootbound.records import Evaluation
from rootbound.suites import Suite

SUITE = Suite(
    "controlled-1",
    (LastLayer("adam", 0.1), ExactLastLayer(1e-2), FineTune(None, "kept", "adam", 1e-2)),
    (Budget(5, 10),),
    controls=True,
)


@pytest.fixture(scope="module")
def controlled(toy_tasks: TaskPair) -> Evaluation:
    return evaluate(deep_cnn(3, (1, 16, 16)), toy_tasks, suite=SUITE, seeds=1)


def test_raw_inputs_are_probed_but_not_tuned(controlled: Evaluation) -> None:
    records = [record for record in controlled.records if record.method == RAW_INPUTS]
    assert {record.tier for record in records} == {"probe"}
    assert {record.arm for record in records} == {"control"}
    assert len(records) == 2
    (training,) = (one for one in controlled.trainings if one.method == RAW_INPUTS)
    assert training.desirable_accuracy is None


def test_small_net_gets_the_same_trials(controlled: Evaluation) -> None:
    trials = {
        name: [one.attack for one in controlled.records if one.method == name]
        for name in (SMALL_NET, "scratch", "defended")
    }
    assert trials[SMALL_NET] == trials["scratch"] == trials["defended"]
    assert metrics.methods(controlled)[-2:] == [SMALL_NET, RAW_INPUTS]


@pytest.mark.parametrize("tokens", [False, True], ids=["images", "texts"])
def test_controls_are_reproducible(tokens: bool) -> None:
    data = (
        replace(blank(8), inputs=torch.zeros(2, 8, dtype=torch.int16))
        if tokens
        else blank(1, 16, 16)
    )
    assert data.tokens == tokens
    digests = []
    for seed in range(2):
        torch.manual_seed(seed)
        start = torch.get_rng_state()
        found = make_controls(deep_cnn(3, (1, 16, 16)), data)
        assert torch.equal(torch.get_rng_state(), start), "and nobody else's numbers change"
        digests.append([weights_digest(one.start.state_dict()) for one in found])
    assert digests[0] == digests[1]
    assert len(digests[0]) == 2


def blank(*shape: int) -> Data:
    return Data(torch.zeros(2, *shape), torch.tensor([0, 1]))


def test_small_net_needs_images_and_is_no_control_of_itself() -> None:
    names = [one.name for one in make_controls(shallow_cnn(3, (1, 16, 16)), blank(1, 16, 16))]
    assert names == [RAW_INPUTS]
    flat = Classifier(torch.nn.Sequential(torch.nn.Linear(9, 4)), torch.nn.Linear(4, 3))
    assert [one.name for one in make_controls(flat, blank(9))] == [RAW_INPUTS]
    assert [one.name for one in make_controls(flat, blank(1, 3, 3))] == [
        RAW_INPUTS
    ]  # too small for it


def test_rotations_turn_images_and_label_the_turns(toy_tasks: TaskPair) -> None:
    task = rotation_task(toy_tasks.desirable)
    assert task is not None
    assert len(task.classes) == 4
    assert int(task.train.labels.bincount().min()) > 0
    given = toy_tasks.desirable
    for before, after in ((given.train, task.train), (given.test, task.test)):
        for image, turned, quarter in zip(before.inputs, after.inputs, after.labels, strict=True):
            assert torch.equal(torch.rot90(image, int(quarter), dims=(1, 2)), turned)
    count = len(task.test)
    assert not torch.equal(task.test.labels, task.train.labels[:count]), "the same draws"
    again = rotation_task(toy_tasks.desirable)
    assert again is not None
    assert torch.equal(again.train.inputs, task.train.inputs)


def test_only_square_images_are_rotated(toy_tasks: TaskPair) -> None:
    def flat(data: Data) -> Data:
        return replace(data, inputs=data.inputs.flatten(1))

    task = toy_tasks.desirable
    other = Task(task.name, task.classes, flat(task.train), flat(task.test))
    assert rotation_task(other) is None


def few(samples: Data, count: int) -> Data:
    return samples.per_class(count, torch.Generator().manual_seed(0))[0]


def test_small_data_skip_the_benign_task(toy_tasks: TaskPair) -> None:
    suite = Suite("x", (ExactLastLayer(1e-3),), (Budget(20, 3),), benign=(ExactLastLayer(1e-2),))
    task = toy_tasks.desirable
    model = shallow_cnn(3, (1, 16, 16))
    # Too few images that are turned each way, and no image at all that is turned one of the ways.
    for smaller in (
        replace(task, train=few(task.train, 15)),
        replace(task, test=few(task.test, 1)),
    ):
        found = evaluate(model, replace(toy_tasks, desirable=smaller), suite=suite, seeds=1)
        assert {one.task for one in found.records} == {"undesirable"}
    given = replace(task, name="third", train=few(task.train, 15))
    with pytest.raises(
        InputError, match="than the attacker's 15; got 20; ask for fewer or bring more benign"
    ):
        evaluate(model, replace(toy_tasks, benign=given), suite=suite, seeds=1)
