"""A labelled collection that can be split by class into what is wanted and what is not.

A `Layout` says what the files of a collection do not say themselves.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import index
from typing import ClassVar

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import Data, Scaling, Task, TaskPair
from rootbound.data.arrays import list_names
from rootbound.datasets.classes import ClassNames, describe_names

ENOUGH = 2**25
"""Values that make mean and deviation certain enough for a scaling."""
AXES = ("NHWC", "NCHW")
"""Orders of the axes of images: samples, height, width and channels."""
Samples = tuple[Tensor, Tensor]
"""Inputs and labels."""
Chosen = str | Sequence[int | str]
"""Classes: a list as `Dataset.chosen` reads it; or one by one, a text its name, a number its label,
which is its place in `Dataset.classes`."""


@dataclass(frozen=True)
class Layout:
    """Where samples and labels are, and what to do about samples that cannot be read.

    Args:
        inputs: Name of the column with images or texts; found by its type when left out.
        label: Name of the column with classes; found likewise.
        skip_unreadable: Leave out images that cannot be read, in place of an error.
        length: Tokens of a text at most, at least 1.
        in_memory: GiB of images or tokens in memory at most, at least 0. A larger part of a data
            set is decoded into a file and read from there.
        train_split: What to learn from, as the library `datasets` writes it: `train[:90%]`; the
            part named train when left out.
        test_split: What to be judged on, likewise; the part named test, or validation.
        label_names: Names of classes that are the numbers from 0 in the column, one by one or in a
            text, `cat,dog`; found when left out.
        holdout: Share of each class to hold out to be judged on where there is no test part, above
            0 and below 1; a fifth when left out.
        axes: Order of the axes of arrays of images, `NHWC` or `NCHW`; by their sides when left out.
        optional: Names of settings that are passed over, without an error, where data make no use
            of them.

    Raises:
        InputError: A number is too small or too large, one split is missing, a name is there twice,
            or there is no such order.
    """

    inputs: str | None = None
    label: str | None = None
    skip_unreadable: bool = False
    length: int = 64
    in_memory: float = 4.0
    train_split: str | None = None
    test_split: str | None = None
    label_names: tuple[str, ...] = ()
    holdout: float | None = None
    axes: str | None = None
    optional: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "label_names", list_names(self.label_names or ()))
        if not isinstance(self.length, int) or self.length < 1:
            raise InputError("at least 1 token of a text", str(self.length), "raise it")
        if not isinstance(self.in_memory, int | float) or not self.in_memory >= 0:
            raise InputError("at least 0 GiB in memory", str(self.in_memory), "raise it")
        share = self.holdout
        if share is not None and (not isinstance(share, int | float) or not 0 < share < 1):
            raise InputError(
                "a share to hold out above 0 and below 1", repr(share), "correct `holdout`"
            )
        if self.axes not in (None, *AXES):
            raise InputError(" or ".join(AXES), repr(self.axes), "correct `axes`")
        if (self.train_split is None) != (self.test_split is None):
            raise InputError("`train_split` and `test_split`", "one of them", "give both")
        if len(set(self.label_names)) != len(self.label_names):
            raise InputError(
                "every name of a class once", ", ".join(self.label_names), "rename one of them"
            )


DEFAULT_LAYOUT = Layout()
"""Columns by their types; every image must be readable."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test samples with the names of their classes.

    Args:
        name: The name in reports.
        classes: The name of each class; label `i` is `classes[i]`.
        train: Samples to learn from.
        test: Samples to be judged on.
        vocabulary: Where samples are texts, the word that each number stands for.
        conversion: What was done to the samples to read them, or to make them fit another data
            set's, in words; empty if they are as they were.
    """

    name: str
    classes: tuple[str, ...]
    train: Data
    test: Data
    vocabulary: tuple[str, ...] = ()
    conversion: str = ""
    fewest_classes: ClassVar[int] = 2
    """Least number of classes that make a task."""

    def __repr__(self) -> str:
        """Return in a line how many samples there are, and of which classes."""
        counts = f"{len(self.train):,} training and {len(self.test):,} test samples"
        return f"<{type(self).__name__} {self.name!r}: {counts} of {describe_names(self.classes)}>"

    def chosen(self, text: str) -> tuple[int, ...]:
        """Read a list of classes, such as `cat,dog`, `1,3,5-7` or `all`, and return their labels.

        What is written are names, numbers too: `1-4` are the classes that are called 1, 2, 3 and
        4, wherever they stand among the others.

        Raises:
            InputError: A part names no class, or several.
        """
        return ClassNames(self.name, self.classes).find(text)

    def task(self, chosen: Chosen) -> Task:
        """Return the task of telling the chosen classes apart, relabelled from 0 in their order.

        Args:
            chosen: The classes, as `split` takes them.

        Raises:
            InputError: A class does not exist or is named twice.
        """
        labels = self.labels_of(chosen)
        return Task(
            name=f"{self.name} {describe_names(self.names_of(labels))}",
            classes=self.names_of(labels),
            train=_relabel(self.train, labels),
            test=_relabel(self.test, labels),
            vocabulary=self.vocabulary,
            conversion=self.conversion,
        )

    def names_of(self, labels: Sequence[int]) -> tuple[str, ...]:
        """Return the names of classes."""
        return tuple(self.classes[label] for label in labels)

    def labels_of(self, chosen: Chosen) -> tuple[int, ...]:
        """Return the labels of the chosen classes.

        Raises:
            InputError: A class does not exist or is named twice.
        """
        if isinstance(chosen, str):
            labels = self.chosen(chosen)
        else:
            known = ClassNames(self.name, self.classes)
            if not isinstance(chosen, Iterable):
                raise InputError("classes in one text or in a list", repr(chosen), "write a list")
            labels = tuple(
                known.find_one(one) if isinstance(one, str) else self._check_label(one)
                for one in chosen
            )
        if twice := [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
            raise InputError(
                "every class once",
                f"{describe_names(self.names_of(twice))} more than once",
                "remove the repeated class",
            )
        return labels

    def _check_label(self, label: int) -> int:
        with contextlib.suppress(TypeError):  # what is no whole number
            if 0 <= (number := index(label)) < len(self.classes):
                return number
        raise InputError(
            f"labels of the classes of {self.name}, from 0 to {len(self.classes) - 1}",
            str(label),
            "correct the label, or give the name as a text",
        )

    def split(
        self,
        desirable: Chosen,
        undesirable: Chosen,
        *,
        share_undesirable: bool = False,
        seed: int = 0,
    ) -> TaskPair:
        """Make a pair of tasks out of two disjoint sets of classes.

        Args:
            desirable: Classes the model is for: a list of names in one text (`"cat,dog"`, `"0-4"`),
                or one by one, where a text is a name and a number a label, the place in `classes`.
            undesirable: Classes it must not be turned to, likewise.
            share_undesirable: Give defender and attacker the same undesirable samples
                instead of disjoint halves.
            seed: Seed of the halving.

        Raises:
            InputError: A set is empty, has one class, or the sets overlap.
        """
        wanted, unwanted = self.labels_of(desirable), self.labels_of(undesirable)
        for role, labels in (("desirable", wanted), ("undesirable", unwanted)):
            if len(labels) < self.fewest_classes:
                least = "one" if self.fewest_classes == 1 else "two"
                offer = describe_names(self.classes)
                raise InputError(
                    f"at least {least} {role} classes",
                    f"{len(labels)}",
                    f"widen `{role}`: {self.name} has {offer}",
                )
        if overlap := sorted(set(wanted) & set(unwanted)):
            raise InputError(
                "desirable and undesirable classes that do not overlap",
                f"{describe_names(self.names_of(overlap))} in both",
                "remove the overlap from one of them",
            )
        return TaskPair.of(
            self.task(wanted),
            self.task(unwanted),
            share_undesirable=share_undesirable,
            seed=seed,
        )


def build_dataset(
    name: str,
    classes: tuple[str, ...],
    train: Samples,
    test: Samples,
    *,
    most: int | None = None,
    divisor: float | None = None,
    conversion: str = "",
) -> Dataset:
    """Return a data set that is scaled by mean and deviation of its training samples.

    Args:
        name: The name in reports.
        classes: The name of each class.
        train: Samples to learn from.
        test: Samples to be judged on.
        most: How many samples are measured at most, evenly spaced; when left out 10,000, fewer of
            large ones, but at least 100.
        divisor: What samples are divided by; when left out, bytes by 255.
        conversion: What was done to the samples, in words.

    Raises:
        InputError: All samples are the same, or all of them a single number.
    """
    inputs, _ = train
    if divisor is None:
        divisor = 255.0 if inputs.dtype == torch.uint8 else 1.0
    enough = max(100, min(10_000, ENOUGH // max(1, inputs[0].numel())))
    count = min(len(inputs), enough if most is None else most)
    spaced = torch.linspace(0, len(inputs) - 1, count).long()
    measured = (inputs[spaced] if count < len(inputs) else inputs[:]) / divisor
    Data(*train)  # of NaN it says so, which mean and deviation would not
    mean, deviation = float(measured.mean()), float(measured.std())
    if math.isinf(mean) or math.isinf(deviation) or (count > 1 and math.isnan(deviation)):
        raise InputError(
            f"samples of {name} whose mean and deviation are finite",
            f"numbers from {float(measured.min() * divisor):g} to "
            f"{float(measured.max() * divisor):g}",
            "scale them down first",
        )
    scaling = Scaling(divisor, mean, max(deviation, 1e-6))
    data = Data(*train, scaling), Data(*test, scaling)
    if len(measured) > 1 and bool((measured == measured[0]).all()):
        raise InputError(
            f"samples of {name} that differ",
            f"{count} that are the same, from {float(measured.min() * divisor):g} to "
            f"{float(measured.max() * divisor):g}",
            "check the files, and how they are read",
        )
    return Dataset(name, classes, *data, conversion=conversion)


def _relabel(data: Data, chosen: Sequence[int]) -> Data:
    size = max(int(data.labels.max()), *chosen) + 1
    translation = torch.full((size,), -1, dtype=torch.int64)
    translation[torch.tensor(list(chosen))] = torch.arange(len(chosen))
    labels = translation[data.labels]
    rows = (labels >= 0).nonzero().squeeze(1)
    if not len(rows):
        raise InputError("samples of the chosen classes", "none", "check the class list")
    return replace(data.select(rows), labels=labels[rows])
