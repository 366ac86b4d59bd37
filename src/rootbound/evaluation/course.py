"""The course of an evaluation: screen, then confirm, then the long run; each from records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rootbound.attacks import Attack
from rootbound.evaluation.assignments import (
    Assignment,
    Subject,
    Tried,
    confirming,
    lengthening,
    screening,
    searching,
)
from rootbound.records import Record
from rootbound.suites import Suite

Stage = Callable[[Sequence[Record], Tried], list[Assignment]]
"""What is to be done next, out of the records so far and the trials they are of."""


@dataclass
class _Stages:
    """One subject on its way: the stages to come, and what the present one has found."""

    coming: Iterator[Stage]
    open: set[int] = field(default_factory=set)
    found: list[Record] = field(default_factory=list)
    tried: dict[str, Attack] = field(default_factory=dict)

    def in_order(self) -> list[Record]:
        """Return what was found as if it had come one by one.

        What is proposed next and how ties end depend on the order, which must not depend on the
        number of workers, nor on where a run was interrupted.
        """
        position = {name: place for place, name in enumerate(self.tried)}
        return sorted(
            self.found,
            key=lambda one: (position[one.attack], one.stage, str(one.labels), one.attacker),
        )


Recall = Callable[[Assignment], Sequence[Record] | None]
"""Records from before; None where an assignment is still to be carried out."""


def nothing(_: Assignment) -> None:
    """Recall no records."""


class Course:
    """Says what is to be done next for every subject.

    Args:
        suite: attacks and rules.
        recall: returns an assignment's records from before, which are not made again.
        benign: whether there is a benign task.
    """

    def __init__(self, suite: Suite, recall: Recall = nothing, *, benign: bool = False) -> None:
        self._suite, self._recall, self._benign = suite, recall, benign
        self._subjects: dict[tuple[str, int], _Stages] = {}

    def begin(self, subject: Subject) -> list[Assignment]:
        """Return what is to be done first with a new subject."""
        suite, benign = self._suite, self._benign
        stages: tuple[Stage, ...] = (
            lambda *_: screening(subject, suite, benign=benign),
            lambda records, tried: searching(subject, suite, records, tried),
            lambda records, tried: confirming(subject, suite, records, tried),
            lambda records, tried: lengthening(subject, suite, records, tried),
        )
        self._subjects[subject.method, subject.seed] = _Stages(iter(stages))
        return self._next_stage(subject)

    def advance(self, done: Assignment, records: Sequence[Record]) -> list[Assignment]:
        """Take an assignment's records; return what follows, once its stage is complete."""
        stages = self._subjects[done.subject.method, done.subject.seed]
        stages.found += records
        stages.open.discard(id(done))
        return [] if stages.open else self._next_stage(done.subject)

    def _next_stage(self, subject: Subject) -> list[Assignment]:
        stages = self._subjects[subject.method, subject.seed]
        for stage in stages.coming:
            assignments = stage(stages.in_order(), stages.tried)
            stages.tried |= {repr(one): one for part in assignments for one in part.trials}
            new = [one for one in assignments if not self._take_up(one, stages)]
            if new:
                stages.open = {id(one) for one in new}
                return new
        return []

    def _take_up(self, assignment: Assignment, stages: _Stages) -> bool:
        """Take an assignment's records from before; return whether there are any."""
        records = self._recall(assignment)
        stages.found += records or ()
        return records is not None
