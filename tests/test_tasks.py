"""Tasks and pairs of tasks: what is refused, and who holds which samples."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import Data, Scaling, Task, TaskPair
from rootbound.datasets import Dataset, describe, parse_classes


def data_of(labels: list[int], side: int = 2, start: int = 0) -> Data:
    """Give every sample a number of its own in all of its pixels."""
    values = torch.arange(start, start + len(labels), dtype=torch.float32)
    return Data(values.view(-1, 1, 1, 1).repeat(1, 1, side, side), torch.tensor(labels))


def task_of(labels: list[int], side: int = 2) -> Task:
    return Task("t", ("a", "b"), data_of(labels, side), data_of([0, 1], side, start=1000))


def rows(data: Data) -> set[bytes]:
    return {image.numpy().tobytes() for image in data.inputs}


def numbered(dataset: Dataset) -> Dataset:
    """Replace images by the samples' numbers; test samples count on from training ones."""

    def images(data: Data, start: int) -> Tensor:
        values = torch.arange(start, start + len(data), dtype=torch.float32)
        return values.view(-1, 1, 1, 1)

    train = Data(images(dataset.train, 0), dataset.train.labels)
    test = Data(images(dataset.test, len(train)), dataset.test.labels)
    return Dataset(dataset.name, dataset.classes, train, test)


def ids(data: Data) -> list[int]:
    return [int(value) for value in data.inputs.flatten()]


@pytest.mark.parametrize(
    ("classes", "train", "test", "expected"),
    [
        (("a",), [0, 0], [0], "at least two classes"),
        (("a", "b"), [0, 2], [0, 1], "training labels below 2.*got label 2"),
        (("a", "b"), [0, 1], [0, 7], "test labels below 2.*got label 7"),
        (("a", "b", "c"), [0, 2], [0, 1, 2], "training samples of every class.*'b'"),
        (("a", "b"), [0, 1], [1, 1], "test samples of every class.*'a'"),
    ],
    ids=["one class", "training label", "test label", "training class", "test class"],
)
def test_refuses_an_unusable_task(
    classes: tuple[str, ...], train: list[int], test: list[int], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        Task("t", classes, data_of(train), data_of(test))


def test_refuses_training_and_test_samples_of_two_shapes() -> None:
    with pytest.raises(InputError, match="one shape"):
        Task("t", ("a", "b"), data_of([0, 1], side=2), data_of([0, 1], side=3))


def test_refuses_to_pair_tasks_of_two_shapes() -> None:
    with pytest.raises(InputError, match="desirable and undesirable samples of one shape"):
        TaskPair.of(task_of([0, 1], side=2), task_of([0, 1], side=3))


def test_defender_and_attacker_hold_disjoint_halves(toy: Dataset) -> None:
    tasks = numbered(toy).split([0, 1, 2], [3, 4, 5])
    defender, attacker = ids(tasks.known_undesirable), ids(tasks.undesirable.train)
    assert not set(defender) & set(attacker)
    members = (toy.train.labels >= 3).nonzero().flatten().tolist()
    assert sorted(defender + attacker) == members
    assert tasks.known_undesirable.labels.bincount().tolist() == [30, 30, 30]
    assert tasks.undesirable.train.labels.bincount().tolist() == [30, 30, 30]
    assert not tasks.shared


def test_sharing_gives_everything_to_both(toy: Dataset) -> None:
    tasks = numbered(toy).split([0, 1, 2], [3, 4, 5], share_undesirable=True)
    members = (toy.train.labels >= 3).nonzero().flatten().tolist()
    assert ids(tasks.known_undesirable) == ids(tasks.undesirable.train) == members
    assert tasks.shared


def test_seed_determines_the_halves(toy: Dataset) -> None:
    def defender(seed: int) -> list[int]:
        return ids(numbered(toy).split([0, 1, 2], [3, 4, 5], seed=seed).known_undesirable)

    assert defender(0) == defender(0)
    assert set(defender(0)) != set(defender(1))


@pytest.mark.parametrize("shared", [False, True])
def test_test_samples_are_never_trained_on(toy: Dataset, shared: bool) -> None:
    tasks = numbered(toy).split([0, 1, 2], [3, 4, 5], share_undesirable=shared)
    judged = set(ids(tasks.desirable.test)) | set(ids(tasks.undesirable.test))
    trained = [tasks.desirable.train, tasks.undesirable.train, tasks.known_undesirable]
    assert len(judged) == len(toy.test)
    assert not judged & {number for data in trained for number in ids(data)}


@pytest.mark.parametrize("change", ["rescaled", "moved"])
def test_conversions_reach_every_part_of_the_tasks(
    change: str, toy: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaling = Scaling(255.0, 0.1, 0.5)
    pair = replace(toy.split([0, 1], [2, 3]), benign=toy.task([4, 5]))
    if change == "rescaled":
        changed = pair.rescaled(scaling)
    else:  # a device that shows in the scaling, for there may be no other one than the CPU
        monkeypatch.setattr(Data, "to", lambda data, _: replace(data, scaling=scaling))
        changed = pair.to(torch.device("cpu"))
    assert changed.benign is not None
    tasks = [changed.desirable, changed.undesirable, changed.benign]
    parts = [*(part for task in tasks for part in (task.train, task.test))]
    assert {part.scaling for part in (*parts, changed.known_undesirable)} == {scaling}
    if change == "rescaled":
        assert {task.own_scaling for task in tasks} == {toy.train.scaling}


def test_toy_images_differ(toy_tasks: TaskPair) -> None:
    # Without this, the comparisons by number above could hold where the images do not.
    assert rows(toy_tasks.known_undesirable).isdisjoint(rows(toy_tasks.undesirable.train))


def test_relabels_classes_in_order(toy: Dataset) -> None:
    task = numbered(toy).task([4, 1])
    assert task.classes == ("4", "1")
    original = toy.train.labels[torch.tensor(ids(task.train))]
    assert torch.equal(original, torch.tensor([4, 1])[task.train.labels])


@pytest.mark.parametrize(
    ("desirable", "undesirable", "expected"),
    [
        ([0, 1, 2], [2, 3], "do not overlap.*got 2 in both"),
        ([], [3, 4], "at least two desirable classes"),
        ([0, 1], [], "at least two undesirable classes"),
        ([0], [3, 4], "at least two desirable classes.*got 1"),
        ([0, 1], [5], "at least two undesirable classes.*got 1"),
        ([0, 1], [3, 9], "from 0 to 5"),
        ([0, -1], [3, 4], "from 0 to 5"),
        ([0, 0], [3, 4], "every class once"),
    ],
)
def test_refuses_an_unusable_split(
    toy: Dataset, desirable: list[int], undesirable: list[int], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        toy.split(desirable, undesirable)


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("0-4", (0, 1, 2, 3, 4)),
        ("1,3,5-7", (1, 3, 5, 6, 7)),
        (" 1 , 3 ", (1, 3)),
        ("7", (7,)),
        ("3-3", (3,)),
    ],
)
def test_reads_classes(text: str, classes: tuple[int, ...]) -> None:
    assert parse_classes(text) == classes


@pytest.mark.parametrize(
    "text",
    ["", ",", "a", "1;2", "-1", "1-", "4-0", "0,4-3,1", "1-2-3", "1.5", "0x1", "0-99999999", "²"],
)
def test_refuses_unreadable_classes(text: str) -> None:
    with pytest.raises(InputError):
        parse_classes(text)


@given(st.lists(st.integers(0, 999), min_size=1, max_size=30))
def test_classes_survive_a_round_trip(labels: list[int]) -> None:
    assert parse_classes(describe(labels)) == tuple(labels)


def test_class_order_survives_a_round_trip() -> None:
    for count in range(1, 5):
        for labels in permutations(range(5), count):
            assert parse_classes(describe(labels)) == labels


@given(st.text(alphabet="0123456789-, ax²٣", max_size=12))
def test_any_text_gives_classes_or_an_input_error(text: str) -> None:
    try:
        labels = parse_classes(text)
    except InputError:
        return
    assert labels, "text without a class was accepted"
    assert all(label >= 0 for label in labels)
    digits = [part for part in text.replace("-", ",").split(",") if part.strip()]
    assume(digits)
    assert {int(digits[0]), int(digits[-1])} <= set(labels), "a class that was named is missing"
