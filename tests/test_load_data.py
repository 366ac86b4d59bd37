"""Data as users have them: on disk, as arrays, in data sets of torch, in tables of `datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    Subset,
    TensorDataset,
    default_collate,
)
from torch.utils.data import Dataset as TorchDataset

import rootbound as rb
from architectures import OneConvolution
from rootbound.datasets import Dataset, Layout
from rootbound.datasets.dataset import build_dataset
from rootbound.datasets.holdout import hold_out
from rootbound.evaluation.timed_plan import TimedPlan

COLOURS = {"bird": 40, "cat": 90, "dog": 150, "person": 210}


class Pictures(TorchDataset[tuple[Any, int]]):
    """As data sets of torchvision are: images of PIL unless there is a transform."""

    classes = ("zero", "one", "two", "three", "four", "five")

    def __init__(self, toy: Dataset, *, transformed: bool) -> None:
        self.data, self.transformed = toy.train, transformed

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        image, label = self.data.inputs[row], int(self.data.labels[row])
        if self.transformed:
            return image.float() / 255, label
        return Image.fromarray(image[0].numpy()), label


class Unreadable(TorchDataset[Any]):
    """A data set with a mistake in it."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> Any:
        raise KeyError("weights")


class Named(TorchDataset[Any]):
    """A data set whose samples have names, as those of `datasets`."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> Any:
        return {"image": torch.zeros(2), "label": row}


class Stream(IterableDataset[tuple[Tensor, int]]):
    """Samples that come one after the other: nobody knows how many."""

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return ((torch.full((2,), float(row)), row % 2) for row in range(20))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, grey in COLOURS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(40):
            pixels = np.clip(generator.normal(grey, 30, (16, 16)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def test_three_lines_give_a_verdict(
    photos: Path, few_steps_of_their_own: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The time is up after three rounds, however fast the machine is.
    monkeypatch.setattr(TimedPlan, "_fits", lambda plan, _: plan._round_count < 3)
    monkeypatch.chdir(photos.parent)
    tasks = rb.load_data("photos/").split("cat,dog", "person,bird")
    model = rb.defend(OneConvolution(classes=2), tasks)
    verdict = rb.audit(model, tasks, minutes=60)
    assert type(model) is OneConvolution
    assert tasks.desirable.classes == ("cat", "dog")
    assert "10 labels per class" in str(verdict)
    assert verdict.advantage(labels=10) == verdict.advantage()
    context = verdict.evaluation.context
    assert context["suite"].startswith("quick-2 with own budgets")
    assert (context["time"]["rounds"], context["time"]["stopped"]) == (3, True)


def test_refuses_too_few_samples_for_any_budget(photos: Path, toy_suite: rb.Suite) -> None:
    for path in photos.glob("*/[1-9]*.png"):
        if int(path.stem) >= 15:
            path.unlink()
    tasks = rb.load_data(photos).split("cat,dog", "person,bird")
    verdict = rb.audit(OneConvolution(classes=2), tasks, minutes=0.01)
    assert [one["labels"] for one in verdict.evaluation.context["budgets"]] == [None]
    with pytest.raises(rb.InputError, match="fewer labels per class than the attacker's 6; got 10"):
        rb.audit(OneConvolution(classes=2), tasks, suite=rb.suites.QUICK_2)


def test_accepts_paths_as_text_or_path(photos: Path) -> None:
    assert rb.load_data(photos).train.digest == rb.load_data(str(photos)).train.digest
    assert rb.datasets.load(photos).classes == tuple(COLOURS)
    assert len(rb.load_data(photos, holdout=0.5).test) == 80
    with pytest.raises(rb.InputError, match="did you mean 'holdout'"):
        rb.load_data(photos, hold_out=0.5)
    with pytest.raises(rb.InputError, match="for data in memory; got the path"):
        rb.load_data(photos, classes="a,b")


def test_accepts_byte_arrays_as_images(toy: Dataset) -> None:
    arrays = toy.train.inputs.permute(0, 2, 3, 1).numpy(), toy.train.labels.numpy()
    test = toy.test.inputs.squeeze(1).numpy(), toy.test.labels.tolist()
    for data in (
        rb.load_data(arrays, test, name="toys"),
        rb.load_data((toy.train.inputs, toy.train.labels.int()), test, name="toys"),
    ):
        assert torch.equal(data.train.inputs, toy.train.inputs)
        assert torch.equal(data.test.inputs, toy.test.inputs)
        assert (data.name, data.classes) == ("toys", tuple("012345"))
        batch, _ = data.train.batch(slice(None))
        assert abs(float(batch.mean())) < 1e-4 and abs(float(batch.std()) - 1) < 1e-3
    tasks = data.split("0-2", "3,4,5")
    assert tasks.undesirable.classes == ("3", "4", "5")


def test_accepts_a_list_of_images(toy: Dataset) -> None:
    labels, colours = toy.train.labels.tolist(), toy.train.inputs.expand(-1, 3, -1, -1)
    grey = [image[0].numpy() for image in toy.train.inputs]
    rgb = [image.permute(1, 2, 0).numpy() for image in colours]
    for images, expected in (
        (grey, toy.train.inputs), (tuple(rgb), colours), ([*colours], colours),
        ([Image.fromarray(image) for image in grey], toy.train.inputs),
        ([Image.fromarray(image) for image in rgb], colours),
    ):  # fmt: skip
        data = rb.load_data((images, labels), (images, labels))
        assert torch.equal(data.train.inputs, expected)
    with pytest.raises(rb.InputError, match=r"all of a size; got .*; resize them"):
        rb.load_data(([np.zeros((4, 4)), np.zeros((4, 5))], [0, 1]))


def test_accepts_floating_point_unchanged(toy: Dataset) -> None:
    values = np.asarray(toy.train.inputs, dtype=np.float64) / 255
    data = rb.load_data((values, toy.train.labels.numpy()), classes="a,b,c,d,e,f")
    assert data.classes == tuple("abcdef")
    assert data.train.inputs.dtype == torch.float32
    batch, _ = data.train.batch(slice(0, 1))
    assert float(batch.min()) >= 0 and float(batch.max()) <= 1
    assert len(data.test) == len(values) // 5 and "held out" in data.conversion
    scaling = rb.Scaling(1.0, 0.5, 0.25)
    assert rb.load_data((values, toy.train.labels), scaling=scaling).test.scaling == scaling


def test_refuses_arguments_of_another_type(toy: Dataset) -> None:
    pair = toy.train.inputs, toy.train.labels
    for name in ("holdout", "in_memory", "length"):
        with pytest.raises(rb.InputError, match=r"expected .*; got .*; "):
            rb.load_data(pair, **{name: "1"})  # type: ignore[arg-type]
    with pytest.raises(rb.InputError, match=r"a rootbound\.Scaling; got 'imagenet'; write"):
        rb.load_data(pair, scaling="imagenet")  # type: ignore[arg-type]
    assert rb.load_data(pair, classes=range(6)).classes == tuple("012345")  # type: ignore[arg-type]


def test_accepts_names_as_labels(toy: Dataset) -> None:
    animals = np.array(["zebra", "ape", "bee", "cat", "dog", "eel"])
    names = animals[toy.train.labels.numpy()]
    data = rb.load_data(
        (toy.train.inputs, names), (toy.test.inputs, list(animals[toy.test.labels]))
    )
    assert data.classes == ("ape", "bee", "cat", "dog", "eel", "zebra")
    assert [data.classes[label] for label in data.train.labels] == list(names)
    assert data.split("zebra,ape", "bee,cat").desirable.classes == ("zebra", "ape")
    with pytest.raises(rb.InputError, match="for the labels are names; got a,b; leave them out"):
        rb.load_data((toy.train.inputs, names), classes="a,b")


@pytest.mark.parametrize("transformed", [False, True], ids=["images of PIL", "tensors"])
def test_accepts_a_torch_data_set(transformed: bool, toy: Dataset) -> None:
    source = Pictures(toy, transformed=transformed)
    data = rb.load_data(source, source)
    assert data.classes == Pictures.classes
    assert len(data.train) == len(data.test) == len(toy.train)
    stored = data.train.inputs if not transformed else (data.train.inputs * 255).round()
    assert torch.equal(stored, toy.train.inputs.to(stored.dtype))
    assert torch.equal(data.train.labels, toy.train.labels)
    part = rb.load_data(Subset(source, range(0, 360, 2)))
    assert part.classes == Pictures.classes and len(part.train) + len(part.test) == 180


@pytest.mark.parametrize("holdout", [0.25, 0.5])
def test_held_out_images_are_disjoint_in_a_file_too(
    holdout: float, toy: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOTBOUND_CACHE", str(tmp_path))
    source = Pictures(toy, transformed=False)
    in_memory, in_file = (
        rb.load_data(source, holdout=holdout, in_memory=most) for most in (4.0, 0.0)
    )
    for own, other in ((in_memory.train, in_file.train), (in_memory.test, in_file.test)):
        assert torch.equal(own.labels, other.labels)
        assert torch.equal(own.inputs, other.inputs[:])
    parts = [(one.inputs[:], one.labels) for one in (in_file.train, in_file.test)]
    found, given = (
        sorted(
            (label, image.numpy().tobytes())
            for images, labels in pairs
            for image, label in zip(images, labels.tolist(), strict=True)
        )
        for pairs in (parts, [(toy.train.inputs, toy.train.labels)])
    )
    assert found == given
    # One image is another, the last of them all.
    inputs = toy.train.inputs.clone()
    inputs[-1] = 255 - inputs[-1]
    changed = Pictures(replace(toy, train=replace(toy.train, inputs=inputs)), transformed=False)
    in_memory, in_file = (
        rb.load_data(changed, holdout=holdout, in_memory=most) for most in (4.0, 0.0)
    )
    assert torch.equal(in_memory.train.inputs, in_file.train.inputs[:])
    assert torch.equal(in_memory.test.inputs, in_file.test.inputs[:])


@pytest.mark.parametrize("share", [None, 0.01, 0.34, 0.5, 0.99])
def test_holds_out_the_nearest_number_of_each_class(share: float | None) -> None:
    sizes = (2, 3, 7, 10, 101)
    labels = torch.arange(5).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]

    def draw(seed: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(seed)
        kept, held, remark = hold_out(labels, tuple("abcde"), Layout(holdout=share))
        assert f"{100 * (share or 0.2):g} %" in remark
        return kept, held

    with torch.random.fork_rng():
        (kept, held), again = draw(0), draw(1)
    assert all(map(torch.equal, (kept, held), again)), "it depends on the global seed"
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(labels)))
    assert all(torch.equal(rows, rows.sort().values) for rows in (kept, held))
    for label, size in enumerate(sizes):
        members = (labels == label).nonzero().flatten()
        rows = held[labels[held] == label]
        nearest = min(range(1, size), key=lambda one, size=size: abs(one - (share or 0.2) * size))  # type: ignore[misc]
        assert abs(len(rows) - (share or 0.2) * size) == abs(nearest - (share or 0.2) * size)
        assert size < 10 or not torch.equal(rows, members[: len(rows)]), "the first are held out"


def test_scaling_uses_training_samples_of_the_whole_set() -> None:
    # Sorted by class, as files often are, and test samples of another brightness.
    train = torch.arange(256).repeat_interleave(4).byte().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    labels = torch.arange(1024) // 512
    scalings = [
        build_dataset("d", ("a", "b"), (train, labels), (test, torch.arange(4) % 2), most=most)
        for test in (torch.zeros(4, 1, 2, 2).byte(), torch.full((4, 1, 2, 2), 255).byte())
        for most in (None, 128)
    ]
    true = train.float() / 255
    for data in scalings:
        assert data.train.scaling == data.test.scaling
        assert data.train.scaling.divisor == 255
        assert data.train.scaling.mean == pytest.approx(float(true.mean()), abs=0.01)
        assert data.train.scaling.deviation == pytest.approx(float(true.std()), abs=0.01)


def test_accepts_names_as_labels_of_a_torch_data_set(toy: Dataset) -> None:
    names = ["ape", "bee", "cat", "dog", "eel", "fox"]

    class Named(Pictures):
        classes = ()  # type: ignore[assignment]

        def __getitem__(self, row: int) -> tuple[Any, Any]:
            image, label = super().__getitem__(row)
            return image, names[label]

    for transformed in (False, True):
        data = rb.load_data(Named(toy, transformed=transformed))
        assert data.classes == tuple(names)
        assert data.train.labels.bincount().tolist() == [48] * 6


def test_reads_a_loader_in_data_order(toy: Dataset) -> None:
    source = TensorDataset(toy.train.inputs.float(), toy.train.labels)
    shuffled = rb.load_data(DataLoader(source, batch_size=7, shuffle=True, drop_last=True))
    plain = rb.load_data(source)
    assert shuffled.train.digest == plain.train.digest
    assert len(plain.train) + len(plain.test) == len(source)

    def collate(samples: list[tuple[Tensor, Tensor]]) -> Any:
        inputs, labels = default_collate(samples)
        return inputs / 2, labels

    halved = rb.load_data(DataLoader(source, batch_size=7, shuffle=True, collate_fn=collate))
    assert torch.equal(halved.train.inputs, plain.train.inputs / 2)
    some = rb.load_data(DataLoader(source, sampler=RandomSampler(source, num_samples=100)))
    assert len(some.train) + len(some.test) == 100


def test_reads_a_stream_to_its_end() -> None:
    data = rb.load_data(Stream())
    assert len(data.train) + len(data.test) == 20 and data.classes == ("0", "1")


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        (3, "classes as a text or a list; got 3; write a list"),
        ([0, 1.5], "from 0 to 5; got 1.5; correct the label"),
        ([0, None], "from 0 to 5; got None; correct the label"),
    ],
)
def test_refuses_an_unknown_class_in_one_line(chosen: Any, says: str, toy: Dataset) -> None:
    with pytest.raises(rb.InputError, match=says):
        toy.split(chosen, [3, 4])
    assert toy.split(torch.tensor([0, 1]), np.array([3, 4])).undesirable.classes == ("3", "4")  # type: ignore[arg-type]


def test_accepts_a_table_of_datasets() -> None:
    library = pytest.importorskip("datasets")
    texts = {"text": [f"text {number}" for number in range(40)], "label": [0, 1, 2, 3] * 10}
    table = library.Dataset.from_dict(texts)
    data = rb.load_data(table, label="label", classes="a,b,c,d", length=4)
    assert data.train.tokens and data.train.shape == (2,)
    assert data.classes == ("a", "b", "c", "d")
    images = [Image.fromarray(np.full((4, 4), 20 * number, np.uint8)) for number in range(12)]
    pictures = library.Dataset.from_dict({"image": images, "label": ["a", "b"] * 6})
    pictures = pictures.class_encode_column("label")
    assert rb.load_data(pictures).train.shape == (1, 4, 4)
    both = library.DatasetDict(train=table, test=table)
    assert len(rb.load_data(both, label="label").test) == 40
    assert len(rb.load_data(table, table, label="label").test) == 40
    four = library.DatasetDict(train=table, validation=table, test=table, more=table)
    unused = rb.load_data(four, label="label").conversion
    assert "the part validation not used" in unused and "the part more not used" in unused


def test_refuses_a_stream_of_datasets() -> None:
    library = pytest.importorskip("datasets")
    stream = library.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}).to_iterable_dataset()
    for source in (stream, library.IterableDatasetDict(train=stream)):
        with pytest.raises(rb.InputError, match="IterableDataset, a stream; load them without"):
            rb.load_data(source)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (3, "a loader of one; got int; pass"),
        (np.zeros((4, 2)), "a loader of one; got ndarray"),
        ((np.zeros((4, 2)), np.zeros(3)), "as many labels as samples"),
        ((np.zeros((4, 2)), np.array([0.5, 1, 1, 0])), "labels that are whole numbers from 0"),
        ((np.array(["a", "b"]), [0, 1]), "bytes or floating point"),
        (None, "a loader of one; got NoneType"),
        ((np.zeros((2, 2)), None), "labels as an array .*; got objects of shape"),
        (
            ((np.zeros((2, 2)), np.zeros(2)),) * 2,
            "two of them in one; pass the test part by itself, as `test`",
        ),
        (
            (TensorDataset(torch.zeros(3, 2)),) * 2,
            "two of them in one; pass the test part by itself, as `test`",
        ),
        ((torch.zeros(2, 2) + 1j, [0, 1]), "plain numbers as inputs; got complex64"),
        ((torch.zeros(2, 2).to_sparse(), [0, 1]), "plain numbers as inputs; got sparse_coo"),
        ((np.zeros((2, 2)), ["a", None]), "a name in every label.*; got None in row 1; leave out"),
        (TensorDataset(torch.zeros(3, 2)), "pairs of a tensor and a label"),
        (np.zeros((4, 2)), r"got ndarray; pass inputs and labels as one pair: \(inputs, labels\)"),
        (
            pd.DataFrame({"x": [0.5, 1.5], "y": [0, 1]}),
            r"got DataFrame; pass inputs and labels as one pair",
        ),
        ((np.zeros((4, 2)), np.eye(4)), r"labels of shape \(4, 4\); pass one label per sample"),
        (Named(), "pairs of a tensor and a label; got dict; let the data set return"),
        (Unreadable(), "samples of Unreadable that are pairs .*; got KeyError: 'weights'"),
    ],
    ids=[
        "a number",
        "no labels",
        "few labels",
        "halves",
        "words",
        "nothing",
        "labels of nothing",
        "two pairs",
        "two data sets",
        "complex",
        "sparse",
        "no name",
        "no pairs",
        "inputs alone",
        "table of pandas",
        "one column per class",
        "named",
        "unreadable",
    ],
)
def test_refuses_non_data_in_one_line(source: object, says: str) -> None:
    with pytest.raises(rb.InputError, match=says):
        rb.load_data(source)


def test_data_and_tasks_accept_arrays_and_data_sets(toy: Dataset) -> None:
    inputs, labels = toy.train.inputs.float().numpy(), toy.train.labels.numpy().astype(np.uint8)
    data = rb.Data(inputs, labels)  # type: ignore[arg-type]
    assert isinstance(data.inputs, Tensor) and data.labels.dtype == torch.int64
    source: Any = TensorDataset(torch.as_tensor(inputs), torch.as_tensor(labels))
    task = rb.Task("toys", "a,b,c,d,e,f", train=source, test=DataLoader(source))  # type: ignore[arg-type]
    assert task.classes == tuple("abcdef")
    assert task.train.digest == task.test.digest == rb.Data.of((inputs, labels)).digest
    assert len(repr(task)) < 500


def test_readers_accept_texts(photos: Path, toy_folder: Path, tmp_path: Path) -> None:
    assert rb.datasets.image_folder(str(photos)).classes == tuple(COLOURS)
    assert rb.datasets.idx_folder(str(toy_folder)).train.shape == (1, 16, 16)
    images, labels = np.arange(72, dtype=np.uint8).reshape(2, 6, 6), np.arange(2)
    path = tmp_path / "a.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert rb.datasets.npz_file(str(path)).train.shape == (1, 6, 6)
