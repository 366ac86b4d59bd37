"""The plan of a whole evaluation: screen, search, draw again, confirm, then run the best longer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from rootbound.attacks import Attack, Budget
from rootbound.evaluation.attacker import stable_seed
from rootbound.evaluation.plan import (
    Assignment,
    Subject,
    assign,
    counts_for,
    draw_again,
    screen,
    select_best,
)
from rootbound.records import EXACT, PRACTICAL, Configuration, Record, Stage
from rootbound.suites import Suite


class FullPlan:
    """Takes every subject through all stages of a suite, each subject at its own pace."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._courses: dict[tuple[str, int], _Course] = {}

    def begin(self, subject: Subject) -> list[Assignment]:
        """Return the screening of a new subject."""
        course = self._courses[subject.method, subject.seed] = _Course(subject, self._suite)
        return course.next_stage()

    def advance(self, done: Assignment, records: Sequence[Record]) -> list[Assignment]:
        """Take an assignment's records; return the next stage, once this one is complete."""
        course = self._courses[done.subject.method, done.subject.seed]
        course.records += records
        course.open.discard(id(done))
        return [] if course.open else course.next_stage()

    def expected_trials(self) -> int:
        """Return how many trials the stages to come will have, about."""
        return sum(course.expected_trials() for course in self._courses.values())

    def unfinished(self) -> list[Record]:
        """Return nothing: there is no time limit."""
        return []

    def summary(self) -> dict[str, Any]:
        """Return nothing: the suite already says everything."""
        return {}


class _Course:
    """One subject on its way through the stages, with the records so far."""

    def __init__(self, subject: Subject, suite: Suite) -> None:
        self.open: set[int] = set()
        self.records: list[Record] = []
        self._subject, self._suite = subject, suite
        self._tried: dict[Configuration, Attack] = {}
        self._passed = 0
        self._stages = self._propose_stages()

    def next_stage(self) -> list[Assignment]:
        """Return the assignments of the next stage that has any."""
        for assignments in self._stages:
            for assignment in assignments:
                self._tried |= {Configuration.of(trial): trial for trial in assignment.trials}
            if assignments:
                self.open = {id(assignment) for assignment in assignments}
                return assignments
        return []

    def expected_trials(self) -> int:
        """Return how many trials the stages after this one will have, about."""
        suite = self._suite
        if self._subject.arm == "control":
            return 0
        some = [budget for budget in suite.budgets if budget.labels != 1]
        further = range(1, max(suite.draws, default=1))
        draws = sum(budget in some for draw in further for budget in suite.budgets_of(draw))
        tiers = len({trial.tier for trial in suite.attacks})
        stages = (
            len(some) * suite.space.proposals if suite.space else 0,
            draws * suite.finalists,
            suite.attackers * suite.confirmed * tiers * len(suite.budgets),
            len(suite.budgets) if suite.longer else 0,
        )
        return sum(stages[self._passed :])

    def _propose_stages(self) -> Iterator[list[Assignment]]:
        yield screen(self._subject, self._suite)
        for stage in (self._search, self._repeat, self._confirm, self._lengthen):
            # The next proposals, and which of several tied settings wins, depend on the order of
            # records. So this order must not depend on the number of workers or on interruptions.
            self._passed += 1
            position = {setting: number for number, setting in enumerate(self._tried)}
            self.records.sort(
                key=lambda record: (
                    position[record.attack], record.stage, str(record.labels), record.attacker
                )
            )  # fmt: skip
            yield [assignment for budget in self._suite.budgets for assignment in stage(budget)]

    def _repeat(self, budget: Budget) -> list[Assignment]:
        """Return the assignments in which finalists meet the draws of labels after the first."""
        if not self._suite.finalists or budget.labels == 1:
            return []
        draws = range(1, max(self._suite.draws))
        return [
            assignment
            for draw in draws
            if budget in self._suite.budgets_of(draw)
            for assignment in draw_again(
                self._subject, self._suite, budget, draw, self.records, self._tried
            )
        ]

    def _search(self, budget: Budget) -> list[Assignment]:
        """Return the assignments with the settings that a search proposes after the screening."""
        if self._suite.space is None or budget.labels == 1:
            return []
        known = [
            (self._tried[record.attack], record.preference[0])
            for record in self.records
            if counts_for(budget, record) and record.attack in self._tried
        ]
        seed = stable_seed("search", budget, self._subject.seed) % 2**32
        proposed = self._suite.space.propose(known, seed)
        return assign(self._subject, proposed, (budget,), stage="search")

    def _confirm(self, budget: Budget) -> list[Assignment]:
        """Return the assignments that repeat the best settings with new attacker seeds.

        These are the best settings of each tier, and the best that train the last layer alone. The
        latter are confirmed even if others are better, because reports show them by themselves.
        """
        if not self._suite.confirmed:
            return []
        trials = list(self._tried.values())
        groups = [
            ([trial for trial in trials if trial.tier == tier], self._suite.confirmed)
            for tier in dict.fromkeys(trial.tier for trial in trials)
            if tier != "control"
        ]
        for family in (PRACTICAL, EXACT):
            groups.append(([trial for trial in trials if trial.family == family], 1))
        best = [
            trial
            for group, count in groups
            for trial in select_best(group, self.records, budget, count)
        ]
        return [
            assignment
            for attacker in range(1, 1 + self._suite.attackers)
            for assignment in self._assign_to(attacker, dict.fromkeys(best), budget, "confirm")
        ]

    def _lengthen(self, budget: Budget) -> list[Assignment]:
        """Return the assignments that give the best confirmed setting many times the steps."""
        if not self._suite.longer:
            return []
        confirmed = [record for record in self.records if record.stage == "confirm"]
        trained = [
            trial for trial in self._tried.values() if trial.tier in ("fine-tuning", "repair")
        ]
        best = select_best(trained, confirmed or self.records, budget, 1)
        longer = replace(budget, steps=budget.steps * self._suite.longer)
        return self._assign_to(1, best, longer, "longer")

    def _assign_to(
        self, number: int, trials: Iterable[Attack], budget: Budget, stage: Stage
    ) -> list[Assignment]:
        """Assign trials to the attacker with that number after the subject's own."""
        attacker = self._subject.seed + number
        return assign(self._subject, trials, (budget,), attacker=attacker, stage=stage)
