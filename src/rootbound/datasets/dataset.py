"""A labelled collection that can be split by class into what is wanted and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from rootbound.core.errors import InputError
from rootbound.data import Data, Task, TaskPair

ALL = "all"
"""In the place of a list of classes."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test samples with the names of their classes.

    Args:
        name: as it shall appear in reports.
        classes: the name of each class; label `i` is `classes[i]`.
        train: samples to learn from.
        test: samples to be judged on.
        vocabulary: where samples are text, the word that each number stands for.
        conversion: in words, how samples were made to fit another data set's; empty if unchanged.
    """

    name: str
    classes: tuple[str, ...]
    train: Data
    test: Data
    vocabulary: tuple[str, ...] = ()
    conversion: str = ""
    fewest: ClassVar[int] = 2
    """Classes that make a task, at least."""

    def chosen(self, text: str) -> tuple[int, ...]:
        """Read a list of classes: names, numbers such as `0-4` or `1,3,5-7`, or `all`.

        A name of a class comes before a number that reads the same.

        Raises:
            InputError: a part is neither.
        """
        if text.strip() == ALL:
            return tuple(range(len(self.classes)))
        labels: list[int] = []
        for part in text.split(","):
            name = part.strip()
            if name in self.classes:
                labels.append(self.classes.index(name))
            elif any(letter.isalpha() for letter in name):
                raise InputError(
                    f"classes of {self.name}: names, numbers such as 0-4 or 1,3,5-7, or all",
                    repr(name),
                    f"correct the class list: there are {', '.join(self.classes[:20])}",
                )
            else:
                labels += parse_classes(name)
        return tuple(labels)

    def task(self, chosen: Sequence[int]) -> Task:
        """Return the task of telling the chosen classes apart, relabelled from 0 in their order.

        Raises:
            InputError: a class does not exist or is named twice.
        """
        self.check_classes(chosen)
        return Task(
            name=f"{self.name} {describe(chosen)}",
            classes=tuple(self.classes[label] for label in chosen),
            train=_relabelled(self.train, chosen),
            test=_relabelled(self.test, chosen),
            vocabulary=self.vocabulary,
            conversion=self.conversion,
        )

    def check_classes(self, chosen: Sequence[int]) -> None:
        """Raise an `InputError` where a class does not exist or is named twice."""
        for label in chosen:
            if not 0 <= label < len(self.classes):
                raise InputError(
                    f"classes of {self.name} between 0 and {len(self.classes) - 1}",
                    str(label),
                    "correct the class list",
                )
        if len(set(chosen)) != len(chosen):
            raise InputError(
                "every class once", ",".join(map(str, chosen)), "remove the repeated class"
            )

    def split(
        self,
        desirable: Sequence[int],
        undesirable: Sequence[int],
        *,
        share_undesirable: bool = False,
        seed: int = 0,
    ) -> TaskPair:
        """Make a pair of tasks out of two disjoint sets of classes.

        Args:
            desirable: classes the model is for.
            undesirable: classes it must not be turned to.
            share_undesirable: give defender and attacker the same undesirable samples
                instead of disjoint halves.
            seed: of the halving.

        Raises:
            InputError: a set is empty, has one class, or the sets overlap.
        """
        for role, chosen in (("desirable", desirable), ("undesirable", undesirable)):
            if len(chosen) < self.fewest:
                least = "one" if self.fewest == 1 else "two"
                raise InputError(
                    f"at least {least} {role} classes",
                    f"{len(chosen)}",
                    f"widen --{role}, e.g. 0-4",
                )
        if overlap := sorted(set(desirable) & set(undesirable)):
            raise InputError(
                "desirable and undesirable classes that do not overlap",
                f"{describe(overlap)} in both",
                "remove the overlap from one of them",
            )
        return TaskPair.of(
            self.task(list(desirable)),
            self.task(list(undesirable)),
            share_undesirable=share_undesirable,
            seed=seed,
        )


def parse_classes(text: str) -> tuple[int, ...]:
    """Read class numbers such as `0-4` or `1,3,5-7`.

    Raises:
        InputError: the text is not of that form.
    """
    labels: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        numbers = first.isdecimal() and last.isdecimal() and max(len(first), len(last)) <= 6
        if not numbers or int(first) > int(last):
            raise InputError("classes such as 0-4 or 1,3,5-7", repr(text), "correct the class list")
        labels.extend(range(int(first), int(last) + 1))
        if len(labels) > 100_000:
            raise InputError("at most 100,000 classes", repr(text), "narrow the class list")
    return tuple(labels)


def describe(labels: Sequence[int]) -> str:
    """Write class numbers the short way: `0-4`, `1,3,5`."""
    contiguous = list(labels) == list(range(labels[0], labels[0] + len(labels)))
    if contiguous and len(labels) > 1:
        return f"{labels[0]}-{labels[-1]}"
    return ",".join(map(str, labels))


def _relabelled(data: Data, chosen: Sequence[int]) -> Data:
    size = max(int(data.labels.max()), *chosen) + 1
    translation = torch.full((size,), -1, dtype=torch.int64)
    translation[torch.tensor(list(chosen))] = torch.arange(len(chosen))
    labels = translation[data.labels]
    kept = (labels >= 0).nonzero().squeeze(1)
    if not len(kept):
        raise InputError("samples of the chosen classes", "none", "check the class list")
    return replace(data.select(kept), labels=labels[kept])
