"""A labelled data set that can be split by class into a desirable and an undesirable task.

A `Layout` says what the files of a data set do not say themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import Data, Scaling, Task, TaskPair
from rootbound.data.arrays import list_names
from rootbound.datasets.classes import ClassNames, Labels, describe_names

ENOUGH = 2**25
"""Number of values that determine mean and deviation well enough for a scaling."""
AXES = ("NHWC", "NCHW")
"""Orders of the axes of images: samples, height, width and channels."""
Samples = tuple[Tensor, Tensor]
"""Inputs and labels."""
Chosen = str | Sequence[int | str]
"""A text that `Dataset.chosen` reads; or a sequence of names (texts) and of labels (numbers)."""


@dataclass(frozen=True)
class Layout:
    """Where samples and labels are, and what to do about samples that cannot be read.

    Args:
        inputs: Name of the column with images or texts; if left out, it is found by its type.
        label: Name of the column with classes; if left out, it is found by its type.
        skip_unreadable: Whether to leave out images that cannot be read, instead of an error.
        length: Largest number of tokens of a text, at least 1.
        in_memory: Most GiB of images or tokens in memory, at least 0. A larger part of a data set
            is decoded into a file and read from there.
        train_split: The training part, as the library `datasets` writes it: `train[:90%]`; if left
            out, the part named train.
        test_split: The test part, likewise; if left out, the part named test or validation.
        label_names: Names of the classes that are numbers from 0, or false and true, in the column,
            as a sequence or a text, `cat,dog`; if left out, they are found.
        holdout: Share of each class to hold out for testing if there is no test part, above 0 and
            below 1; a fifth if left out.
        axes: Order of the axes of arrays of images, `NHWC` or `NCHW`; if left out, it is guessed
            from their lengths.
        optional: Names of settings that are ignored, without an error, if the data have no use for
            them.

    Raises:
        InputError: A number is too small or too large, only one split is given, a name occurs
            twice, or there is no such order of axes.
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
"""Finds columns by their types, and requires that every image can be read."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test samples with the names of their classes.

    Args:
        name: The name in reports.
        classes: The name of each class; label `i` is `classes[i]`.
        train: Training samples.
        test: Test samples.
        vocabulary: For texts, the word of each token.
        conversion: A description of how the samples were converted to read them, or to fit another
            data set; empty if they were not.
    """

    name: str
    classes: tuple[str, ...]
    train: Data
    test: Data
    vocabulary: tuple[str, ...] = ()
    conversion: str = ""
    fewest_classes: ClassVar[int] = 2
    """Smallest number of classes of a task."""

    def __repr__(self) -> str:
        """Return one line with the numbers of samples and the classes."""
        counts = f"{len(self.train):,} training and {len(self.test):,} test samples"
        return f"<{type(self).__name__} {self.name!r}: {counts} of {describe_names(self.classes)}>"

    def chosen(self, text: str) -> Labels:
        """Read a list of classes, such as `cat,dog`, `1,3,5-7` or `all`, and return their labels.

        Numbers in it are names too: `1-4` are the classes called 1, 2, 3 and 4, whatever their
        positions among the others.

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

    def labels_of(self, chosen: Chosen) -> Labels:
        """Return the labels of the chosen classes.

        Raises:
            InputError: A class does not exist or is named twice.
        """
        if isinstance(chosen, str):
            labels = self.chosen(chosen)
        else:
            known = ClassNames(self.name, self.classes)
            if not isinstance(chosen, Iterable):
                raise InputError("classes as a text or a list", repr(chosen), "write a list")
            labels = known.find_all(chosen)
        if twice := [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
            raise InputError(
                "every class once",
                f"{describe_names(self.names_of(twice))} more than once",
                "remove the repeated class",
            )
        return labels

    def split(
        self,
        desirable: Chosen,
        undesirable: Chosen,
        *,
        share_undesirable: bool = False,
        seed: int = 0,
    ) -> TaskPair:
        """Make a pair of tasks from two disjoint sets of classes.

        Args:
            desirable: Classes the model is for: names in one text (`"cat,dog"`, `"0-4"`), or a
                sequence in which a text is a name and a number a label, the position in `classes`.
            undesirable: Classes that the model must resist, likewise.
            share_undesirable: Whether defender and attacker get the same undesirable samples
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
    """Return a data set, scaled by mean and deviation of its training samples.

    Args:
        name: The name in reports.
        classes: The name of each class.
        train: Training samples.
        test: Test samples.
        most: Largest number of samples to measure, evenly spaced; if left out 10,000, or fewer of
            large ones, but at least 100.
        divisor: Number to divide samples by; if left out, bytes are divided by 255.
        conversion: A description of how the samples were converted.

    Raises:
        InputError: All samples are the same, or mean or deviation would not be finite.
    """
    inputs, _ = train
    if divisor is None:
        divisor = 255.0 if inputs.dtype == torch.uint8 else 1.0
    enough = max(100, min(10_000, ENOUGH // max(1, inputs[0].numel())))
    count = min(len(inputs), enough if most is None else most)
    spaced = torch.linspace(0, len(inputs) - 1, count).long()
    measured = (inputs[spaced] if count < len(inputs) else inputs[:]) / divisor
    Data(*train)  # this reports NaN, which mean and deviation would not
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
