"""A task, and the tasks of an experiment: one that the model is for, and one to resist."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.core.fields import Range, require_whole
from rootbound.data.arrays import list_names
from rootbound.data.samples import Data
from rootbound.data.transforms import Scaling


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    """A classification task with its own training and test data.

    Args:
        name: The name in reports.
        classes: The name of each class; label `i` is `classes[i]`. It may be one text: `cat,dog`.
        train: Training samples: `Data`, or whatever `Data.of` reads.
        test: Test samples, likewise, which methods and attacks never see.
        vocabulary: For texts, the word or letter of each token.
        conversion: A description of how the samples were converted to read them, or to fit another
            data set; empty if they were not.
        own_scaling: The data's own scaling, if the samples are scaled for a network instead.

    Raises:
        InputError: There are fewer than two classes, or labels outside them.
    """

    name: str
    classes: tuple[str, ...]
    train: Data
    test: Data
    vocabulary: tuple[str, ...] = ()
    conversion: str = ""
    own_scaling: Scaling | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", list_names(self.classes))
        object.__setattr__(self, "train", Data.of(self.train))
        object.__setattr__(self, "test", Data.of(self.test))
        if len(self.classes) < 2:
            raise InputError(
                f"at least two classes in task {self.name!r}",
                f"{len(self.classes)}",
                "a task with one class has nothing to learn: add classes",
            )
        for part, data in (("training", self.train), ("test", self.test)):
            highest = int(data.labels.max())
            if highest >= len(self.classes):
                raise InputError(
                    f"{part} labels below {len(self.classes)} in task {self.name!r}",
                    f"label {highest}",
                    "relabel the classes from 0 without gaps",
                )
            missing = set(range(len(self.classes))) - set(data.labels.unique().tolist())
            if missing and data.stratified:
                raise InputError(
                    f"{part} samples of every class in task {self.name!r}",
                    f"none of class {self.classes[min(missing)]!r}",
                    "remove the class or add samples",
                )
        if self.train.shape != self.test.shape:
            raise InputError(
                "training and test samples of one shape",
                f"{self.train.shape} and {self.test.shape}",
                "resize one of them",
            )

    def rescaled(self, scaling: Scaling) -> Task:
        """Return the task with inputs scaled for a network instead of by the data's own scaling."""
        train, test = (replace(part, scaling=scaling) for part in (self.train, self.test))
        return replace(self, train=train, test=test, own_scaling=self.train.scaling)

    def __repr__(self) -> str:
        """Return one line with the classes and the numbers of samples."""
        counts = f"{len(self.train):,} training and {len(self.test):,} test samples"
        return f"<{type(self).__name__} {self.name!r}: {len(self.classes)} classes, {counts}>"

    def to(self, device: torch.device) -> Task:
        """Return the task with its data on a device."""
        return replace(self, train=self.train.to(device), test=self.test.to(device))


@dataclass(frozen=True, eq=False, repr=False)
class Tasks:
    """The tasks of an experiment; at least the undesirable one, which is enough for an attack.

    Args:
        desirable: The task the model is for; None where that is unknown.
        undesirable: The task it must resist; its training data are the attacker's.
        known_undesirable: The defender's undesirable samples; None where they are unknown.
        shared: Whether defender and attacker have the same samples.
        benign: A harmless third task, which a defended model must still be able to learn.
    """

    desirable: Task | None
    undesirable: Task
    known_undesirable: Data | None
    shared: bool = False
    benign: Task | None = None

    def __repr__(self) -> str:
        """Return a few lines with the desirable and undesirable tasks."""
        roles = ("desirable", "undesirable", "benign")
        known = {role: task for role in roles if (task := getattr(self, role)) is not None}
        lines = [f"  {role}: {task!r}" for role, task in known.items()]
        return "\n".join([f"<{type(self).__name__}", *lines]) + ">"

    @property
    def example(self) -> Tensor:
        """One of the attacker's samples, scaled, as a batch of one: a network must take it."""
        inputs, _ = self.undesirable.train.batch(slice(0, 1))
        return inputs

    def rescaled(self, scaling: Scaling) -> Self:
        """Return the same tasks with inputs scaled for a network."""
        names = ("desirable", "undesirable", "benign")
        known = {name: part for name in names if (part := getattr(self, name)) is not None}
        tasks = replace(self, **{name: part.rescaled(scaling) for name, part in known.items()})
        if self.known_undesirable is None:
            return tasks
        return replace(tasks, known_undesirable=replace(self.known_undesirable, scaling=scaling))

    def to(self, device: torch.device) -> Self:
        """Return the same tasks with all data on a device."""
        names = ("desirable", "undesirable", "known_undesirable", "benign")
        known = {name: part for name in names if (part := getattr(self, name)) is not None}
        return replace(self, **{name: part.to(device) for name, part in known.items()})

    @classmethod
    def require(cls, tasks: object) -> Self:
        """Return the tasks if they are of this kind.

        Raises:
            InputError: They are something else, such as data that were not split.
        """
        if isinstance(tasks, cls):
            return tasks
        raise InputError(
            f"{cls.__name__}, as `data.split(desirable, undesirable)` returns them",
            type(tasks).__name__,
            "split the data by their classes first",
        )

    @staticmethod
    def alone(undesirable: Task) -> Tasks:
        """Return tasks with only the undesirable one; the attacker gets all of its data."""
        return Tasks(None, undesirable, None)


@dataclass(frozen=True, eq=False, repr=False)
class TaskPair(Tasks):
    """A desirable and an undesirable task, which is enough to train a defence.

    Args:
        desirable: The task the model is for.
        undesirable: The task it must resist; its training data are the attacker's.
        known_undesirable: The defender's undesirable samples.
        shared: Whether defender and attacker have the same samples.
        benign: A harmless third task, which a defended model must still be able to learn.
    """

    desirable: Task
    known_undesirable: Data

    @classmethod
    def of(
        cls, desirable: Task, undesirable: Task, *, share_undesirable: bool = False, seed: int = 0
    ) -> TaskPair:
        """Pair two tasks, giving defender and attacker disjoint halves of the undesirable data.

        Args:
            desirable: The task the model is for.
            undesirable: The task it must resist.
            share_undesirable: Whether both get all of the undesirable data instead.
            seed: Seed of the split.

        Raises:
            InputError: The two tasks have samples of different shapes.
        """
        if desirable.train.shape != undesirable.train.shape:
            raise InputError(
                "desirable and undesirable samples of one shape",
                f"{desirable.train.shape} and {undesirable.train.shape}",
                "resize one of them",
            )
        seed = require_whole("seed", seed, Range())
        if share_undesirable:
            return cls(desirable, undesirable, undesirable.train, shared=True)
        counts = undesirable.train.labels.bincount(minlength=len(undesirable.classes))
        if undesirable.train.stratified and int(counts.min()) < 2:
            raise InputError(
                "at least two training samples of every undesirable class, for defender and "
                "attacker",
                f"one of {undesirable.classes[int(counts.argmin())]}",
                "bring more, leave the class out, or share them with `share_undesirable`",
            )
        generator = torch.Generator().manual_seed(seed)
        defender, attacker = undesirable.train.halves(generator)
        attacked = replace(undesirable, train=attacker)
        return cls(desirable, attacked, defender)
