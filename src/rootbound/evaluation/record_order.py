"""In which order records stand, whatever the order they come in."""

from __future__ import annotations

from collections.abc import Sequence

from rootbound.attacks import Attack
from rootbound.records import Configuration, Record
from rootbound.suites import Suite

Position = tuple[int | str, ...]
"""Where a model or a record belongs among the others: they are sorted by it."""


class RecordOrder:
    """Method by method and draw by draw, then in the suite's order of settings.

    With one label a class the first setting that works is the attacker's choice, so that the order
    of the fixed settings decides.

    Args:
        methods: Names, in the order of the report.
        suite: The suite whose trials they are.
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
            # A setting that a search has proposed is in no list: all of them come last, by name.
            settings.get(record.attack, len(self._settings)),
            str(record.attack),
        )


def _number(trials: Sequence[Attack]) -> dict[Configuration, int]:
    distinct = dict.fromkeys(Configuration.of(trial) for trial in trials)
    return {trial: number for number, trial in enumerate(distinct)}
