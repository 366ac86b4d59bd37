"""The plan of a whole evaluation: screen, search, confirm, then give the best many steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rootbound.attacks import Attack, Budget
from rootbound.evaluation.attacker import stable_seed
from rootbound.evaluation.plan import (
    Assignment,
    Subject,
    assign,
    counts_for,
    screen,
    select_best,
)
from rootbound.records import EXACT, PRACTICAL, Configuration, Record
from rootbound.suites import Suite

Tried = Mapping[Configuration, Attack]
"""The trials so far, by the text that names them in records."""


def search(
    subject: Subject, suite: Suite, records: Sequence[Record], tried: Tried
) -> list[Assignment]:
    """Return the assignments with the settings that are proposed from what was screened."""
    if suite.space is None:
        return []
    assignments: list[Assignment] = []
    for budget in suite.budgets:
        if budget.labels == 1:
            continue
        known = [
            (tried[record.attack], record.preference[0])
            for record in records
            if counts_for(budget, record) and record.attack in tried
        ]
        seed = stable_seed("search", budget, subject.seed) % 2**32
        proposed = suite.space.propose(known, seed)
        assignments += assign(subject, proposed, (budget,), stage="search")
    return assignments


def confirm(
    subject: Subject, suite: Suite, records: Sequence[Record], tried: Tried
) -> list[Assignment]:
    """Return the assignments that show the best settings to new attacker seeds."""
    if not suite.confirmed:
        return []
    assignments: list[Assignment] = []
    for budget in suite.budgets:
        trials = _best_of_tiers(tried, records, budget, suite.confirmed)
        for attacker in range(subject.seed + 1, subject.seed + 1 + suite.attackers):
            met = subject.as_met_by(attacker)
            assignments += assign(met, trials, (budget,), attacker=attacker, stage="confirm")
    return assignments


def lengthen(
    subject: Subject, suite: Suite, records: Sequence[Record], tried: Tried
) -> list[Assignment]:
    """Return the assignments that give the best confirmed setting many times the steps."""
    if not suite.longer:
        return []
    confirmed = [record for record in records if record.stage == "confirm"] or records
    trained = [trial for trial in tried.values() if trial.tier in ("fine-tuning", "repair")]
    attacker = subject.seed + 1
    assignments: list[Assignment] = []
    for budget in suite.budgets:
        trials = select_best(trained, confirmed, budget, 1)
        longer = (Budget(budget.labels, budget.steps * suite.longer),)
        met = subject.as_met_by(attacker)
        assignments += assign(met, trials, longer, attacker=attacker, stage="longer")
    return assignments


def _best_of_tiers(
    tried: Tried, records: Sequence[Record], budget: Budget, count: int
) -> list[Attack]:
    """Return the best settings of each tier, and the best of the last layer alone.

    Those of the last layer are confirmed though others may be better: reports single them out.
    """
    trials = list(tried.values())
    groups = [
        ([trial for trial in trials if trial.tier == tier], count)
        for tier in dict.fromkeys(trial.tier for trial in trials)
        if tier != "control"
    ]
    groups += [
        ([trial for trial in trials if trial.family == name], 1) for name in (PRACTICAL, EXACT)
    ]
    best = (trial for group, most in groups for trial in select_best(group, records, budget, most))
    return list(dict.fromkeys(best))


class _Course:
    """One subject on its way: the stages to come, and what came out of those before."""

    def __init__(self, subject: Subject, suite: Suite) -> None:
        self.open: set[int] = set()
        self.records: list[Record] = []
        self._tried: dict[Configuration, Attack] = {}
        self._stages = self._propose_stages(subject, suite)

    def next_stage(self) -> list[Assignment]:
        """Return the assignments of the next stage that has any."""
        for assignments in self._stages:
            for assignment in assignments:
                self._tried |= {Configuration.of(trial): trial for trial in assignment.trials}
            if assignments:
                self.open = {id(assignment) for assignment in assignments}
                return assignments
        return []

    def _propose_stages(self, subject: Subject, suite: Suite) -> Iterator[list[Assignment]]:
        yield screen(subject, suite)
        for stage in (search, confirm, lengthen):
            yield stage(subject, suite, self._sorted_records(), self._tried)

    def _sorted_records(self) -> list[Record]:
        """Return the records as if they had come one by one.

        What is proposed next and how ties end depend on the order, which must not depend on the
        number of workers, nor on where a run was interrupted.
        """
        position = {setting: number for number, setting in enumerate(self._tried)}
        return sorted(
            self.records,
            key=lambda one: (position[one.attack], one.stage, str(one.labels), one.attacker),
        )


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

    def summary(self) -> dict[str, Any]:
        """Return nothing: the suite says it all."""
        return {}
