"""Records from before: what a run that goes on need not do again."""

from __future__ import annotations

from collections.abc import Iterable

from rootbound.evaluation.assignments import Assignment
from rootbound.records import Record

Key = tuple[object, ...]
"""What tells one trial's record from every other's."""


class Known:
    """Records from before, and which of them have been used.

    Args:
        records: of the run that goes on.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._records = {_key_of(record): record for record in records}
        self._recalled: list[Record] = []

    def holds(self, assignment: Assignment) -> bool:
        """Return whether all records of an assignment are there."""
        return all(key in self._records for key in _keys(assignment))

    def recall(self, assignment: Assignment) -> list[Record]:
        """Return an assignment's records; none where not all of them are there."""
        if not self.holds(assignment):
            return []
        records = [self._records[key] for key in _keys(assignment)]
        self._recalled += records
        return records

    def take_recalled(self) -> list[Record]:
        """Return the records that have been used since the last call."""
        recalled, self._recalled = self._recalled, []
        return recalled


def _keys(assignment: Assignment) -> list[Key]:
    subject = assignment.subject
    return [
        (
            subject.method,
            subject.seed,
            assignment.attacker,
            assignment.stage,
            assignment.task,
            assignment.rung,
            budget.labels,
            repr(trial),
        )
        for budget in assignment.budgets
        for trial in assignment.trials
    ]


def _key_of(record: Record) -> Key:
    return (
        record.method,
        record.seed,
        record.attacker,
        record.stage,
        record.task,
        record.rung,
        record.labels,
        record.attack,
    )
