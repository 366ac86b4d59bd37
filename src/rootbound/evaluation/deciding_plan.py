"""The plan of an evaluation that goes on until a gate is decided: further draws of labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rootbound.attacks import Attack, Budget
from rootbound.evaluation.full_plan import FullPlan
from rootbound.evaluation.plan import Assignment, Subject, assign, draw_again
from rootbound.evaluation.record_order import RecordOrder
from rootbound.metrics.gate import decide
from rootbound.metrics.looks import is_look, next_look
from rootbound.records import Configuration, Evaluation, Record, Training
from rootbound.suites import Suite


class DecidingPlan:
    """Takes every subject through a suite, then adds draws where the gate is still undecided.

    A round adds draws for all arms alike, with those numbers of labels that are undecided; scratch
    gets new random weights with each draw. The gate is evaluated when a round is complete, and its
    error rate allows for all looks (`metrics/looks.py`). Records alone decide what comes next, so
    an interrupted run continues and ends the same.

    Where a suite confirms its best settings, each further draw is one more attacker with these.

    Args:
        suite: Attacks and budgets, and what is to be decided.
        subjects: Number of subjects that there will be.
        trained: Names of the methods whose models are trained; all others are given.
        samples: Number of test samples of the undesirable task.
    """

    def __init__(self, suite: Suite, subjects: int, trained: Collection[str], samples: int) -> None:
        assert suite.until is not None  # otherwise there is nothing to decide
        self._suite, self._until = suite, suite.until
        self._expected, self._trained, self._samples = subjects, trained, samples
        self._full, self._is_full = FullPlan(suite), True
        self._subjects: list[Subject] = []
        self._open: set[Assignment] = set()
        self._records: list[Record] = []
        first = suite.draws or (suite.attackers if suite.confirmed else 1,) * len(suite.budgets)
        given = dict(zip(suite.budgets, first, strict=True))
        self._draws = {budget: n - self._count_choosing(budget) for budget, n in given.items()}
        self._looks: dict[Budget, list[int]] = {budget: [] for budget in suite.budgets}
        self._trials: dict[Configuration, Attack] = {}

    def begin(self, subject: Subject) -> list[Assignment]:
        """Return the screening of a new subject."""
        self._subjects.append(subject)
        return self._submit(self._full.begin(subject))

    def advance(self, done: Assignment, records: Sequence[Record]) -> list[Assignment]:
        """Take an assignment's records; return the next round once this one is complete."""
        self._records += records
        self._trials |= {Configuration.of(trial): trial for trial in done.trials}
        coming = self._full.advance(done, records) if self._is_full else []
        self._open.discard(done)
        return self._submit(coming)

    def expected_trials(self) -> int:
        """Return how many are foreseen before the first look; nobody knows how many follow."""
        return self._full.expected_trials() if self._is_full else 0

    def unfinished(self) -> list[Record]:
        """Return nothing: every round is finished."""
        return []

    def summary(self) -> dict[str, Any]:
        """Return the looks at the gate, with the draws of each seed at each look."""
        return {"until": self._describe()}

    def _submit(self, coming: list[Assignment]) -> list[Assignment]:
        """Return the suite's next assignments; once there are none, a round of further draws."""
        if not coming and not self._open and len(self._subjects) == self._expected:
            self._is_full = False
            coming = self._next_round()
        self._open |= set(coming)
        return coming

    def _next_round(self) -> list[Assignment]:
        for budget, looks in self._looks.items():
            draws = self._draws[budget]
            if is_look(draws, self._until.draws) and draws not in looks:
                looks.append(draws)
        coming: list[Assignment] = []
        for budget in self._find_open():
            before = self._draws[budget]
            self._draws[budget] = next_look(before, self._until.draws)
            for draw in range(before, self._draws[budget]):
                for subject in self._subjects:
                    coming += self._draw_again(subject, budget, draw)
        return coming

    def _find_open(self) -> list[Budget]:
        """Return the budgets with which more draws are needed and allowed."""
        evaluation = self._evaluate()
        labels = set()
        for method in dict.fromkeys(one.method for one in self._subjects if one.arm == "defended"):
            decision = decide(evaluation, method, self._until.limit)
            if decision.end == "undecided":
                labels |= {cell.labels for cell in decision.cells if cell.end == "undecided"}
        return [
            budget
            for budget, draws in self._draws.items()
            if budget.labels in labels and draws < self._until.draws
        ]

    def _draw_again(self, subject: Subject, budget: Budget, draw: int) -> list[Assignment]:
        """Return the assignments of one more draw of labels on a subject, with one budget."""
        if self._suite.confirmed:
            attacker = subject.seed + draw + 1
            trials = self._find_confirmed(subject, budget)
            return assign(subject, trials, (budget,), attacker=attacker, stage="confirm")
        draw += self._count_choosing(budget)
        return draw_again(
            subject, self._suite, budget, draw, self._list_records(subject), self._trials
        )

    def _count_choosing(self, budget: Budget) -> int:
        """Return how many draws only choose finalists: 1 if the suite has finalists, else 0."""
        return 1 if self._suite.finalists and budget.labels != 1 else 0

    def _find_confirmed(self, subject: Subject, budget: Budget) -> tuple[Attack, ...]:
        """Return the settings that a subject's first attackers were given, in a fixed order."""
        confirmed = [
            record
            for record in self._list_records(subject)
            if (record.labels, record.stage) == (budget.labels, "confirm")
        ]
        ordered = sorted(confirmed, key=self._find_order().place)
        in_order = dict.fromkeys(one.attack for one in ordered)
        return tuple(self._trials[setting] for setting in in_order)

    def _list_records(self, subject: Subject) -> list[Record]:
        whose = (subject.method, subject.seed)
        return [record for record in self._records if (record.method, record.seed) == whose]

    def _find_order(self) -> RecordOrder:
        return RecordOrder(sorted({one.method for one in self._subjects}), self._suite)

    def _evaluate(self) -> Evaluation:
        """Return the results so far, in an order that does not depend on when they came."""
        trainings = tuple(
            Training(
                one.arm, one.method,
                Configuration(one.method, {}) if one.method in self._trained else "given",
                one.seed, None, 0.0,
            )
            for one in sorted(self._subjects, key=lambda one: (one.method, one.seed))
        )  # fmt: skip
        records = sorted(self._records, key=self._find_order().place)
        context = {"undesirable": {"test_samples": self._samples}, "until": self._describe()}
        return Evaluation(context, trainings, tuple(records), complete=False)

    def _describe(self) -> dict[str, Any]:
        looks = [
            {"labels": budget.labels, "draws": list(draws)} for budget, draws in self._looks.items()
        ]
        return {"limit": self._until.limit, "draws": self._until.draws, "looks": looks}
