"""The order of records, which does not depend on when they came."""

from __future__ import annotations

from collections.abc import Sequence

from rootbound.attacks import Attack
from rootbound.records import Configuration, Record
from rootbound.suites import Suite

Position = tuple[int | str, ...]
"""Sort key of a model or a record."""


class RecordOrder:
    """Sorts by method, then by draw, then by the suite's order of settings.

    With one label per class the attacker chooses the first setting that works, so the order of the
    fixed settings matters.

    Args:
        methods: Names, in the order of the report.
        suite: The suite of the trials.
    """

    def __init__(self, methods: Sequence[str], suite: Suite) -> None:
        self._methods = {name: place for place, name in enumerate(methods)}
        self._labels = {budget.labels: place for place, budget in enumerate(suite.budgets)}
        self._settings = _number((*suite.attacks, *suite.blind, *suite.benign))
        self._blind = _number(suite.blind)

    def place_model(self, method: str, seed: int) -> Position:
        """Return where a model belongs."""
        return self._methods[method], seed

    def place(self, record: Record) -> Position:
        """Return where a record belongs."""
        settings = self._blind if record.labels == 1 else self._settings
        return (
            *self.place_model(record.method, record.seed),
            ("undesirable", "benign").index(record.task),
            ("screen", "search", "confirm", "longer").index(record.stage),
            record.attacker,
            self._labels[record.labels],
            record.rung,
            # Settings that a search proposed are not in the suite: they come last, by name.
            settings.get(record.attack, len(self._settings)),
            str(record.attack),
        )


def _number(trials: Sequence[Attack]) -> dict[Configuration, int]:
    distinct = dict.fromkeys(Configuration.of(trial) for trial in trials)
    return {trial: number for number, trial in enumerate(distinct)}
