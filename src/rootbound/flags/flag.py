"""What a flag is: a warning that a number may not mean what it seems to mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rootbound.records import Evaluation, Record, Training

About = Literal["network", "attack", "comparison"]


@dataclass(frozen=True)
class Case:
    """One method with one seed, and what it is compared with.

    Args:
        evaluation: all that was measured.
        training: says which arm, method and seed.
    """

    evaluation: Evaluation
    training: Training

    @cached_property
    def records(self) -> list[Record]:
        """Trials on the undesirable task."""
        return _records(self.evaluation, self.training)

    @cached_property
    def values(self) -> Mapping[str, float]:
        """The diagnosis, empty where there is none."""
        return _values(self.evaluation, self.training)

    @cached_property
    def undefended(self) -> Case | None:
        """The undefended model of the same seed, or else its first; None for that arm itself."""
        if self.training.arm == "undefended":
            return None
        found = [one for one in self.evaluation.trainings if one.arm == "undefended"]
        same = [one for one in found if one.seed == self.training.seed]
        return Case(self.evaluation, (same or found)[0]) if found else None

    @property
    def reference(self) -> Mapping[str, float]:
        """The undefended model's diagnosis, empty where there is none.

        Scratch is no reference: a gate in a defended architecture is in its scratch arm too.
        """
        return self.undefended.values if self.undefended else {}

    def screened(self) -> dict[int | None, list[Record]]:
        """Return the trials in which everything was tried on one draw of labels, by labels."""
        found: dict[int | None, list[Record]] = {}
        for record in self.records:
            if record.stage in ("screen", "search") and record.tier != "control":
                found.setdefault(record.labels, []).append(record)
        return found


@dataclass(frozen=True)
class Flag:
    """A condition that is checked for every model, and what to make of it.

    Args:
        name: in a few words.
        about: what is in doubt: the `network`, the `attack` on it, or the `comparison`.
        raised_if: the condition, with its numbers.
        means: what may be behind it.
        do_this: what to do about it.
        check: yields the evidence, in words with numbers; nothing where all is well.
        once: whether it is about a method as a whole: checked with its first seed only.
    """

    name: str
    about: About
    raised_if: str
    means: str
    do_this: str
    check: Callable[[Case], Iterator[str]]
    once: bool = False


@dataclass(frozen=True)
class Raised:
    """A flag that was raised.

    Args:
        flag: its name.
        method: whose model it is about.
        seed: of the model; None where it is about all of them.
        evidence: in words, with the numbers.
    """

    flag: str
    method: str
    seed: int | None
    evidence: str


def best(records: Iterable[Record]) -> Record | None:
    """Return the finished trial that validation prefers, judged on the whole test set or not."""
    finished = (record for record in records if record.error is None and record.test)
    return max(finished, key=lambda record: record.preference, default=None)


def lead(first: Record, second: Record) -> float:
    """Return the accuracy of one trial minus another's in points, on the same test samples."""
    if first.accuracy is not None and second.accuracy is not None:
        return 100 * (first.accuracy - second.accuracy)
    return 100 * (first.test[first.selected] - second.test[second.selected])


def with_labels(labels: int | None) -> str:
    """Return the budget in words."""
    return "with all labels" if labels is None else f"with {labels} labels a class"


def _records(evaluation: Evaluation, training: Training) -> list[Record]:
    model = training.method, training.seed
    return [
        record
        for record in evaluation.records
        if (record.method, record.seed) == model and record.task == "undesirable"
    ]


def _values(evaluation: Evaluation, training: Training) -> Mapping[str, float]:
    model = training.method, training.seed
    found = (one.values for one in evaluation.diagnoses if (one.method, one.seed) == model)
    return next(found, {})
