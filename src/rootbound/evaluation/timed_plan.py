"""The plan of an evaluation with a time limit: the time goes where attacks are winning."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from typing import Any

from rootbound.attacks import Attack, Budget
from rootbound.evaluation.plan import (
    Assignment,
    Subject,
    assign,
    group_into_bundles,
    list_draws,
    screen_benign,
    screen_blind,
    select_best,
    vary_scratch,
)
from rootbound.records import EXACT, Configuration, Record
from rootbound.suites import Suite

Bundle = tuple[Attack, ...]

FACTOR = 4
"""One in this many settings of a rung goes on to the next, with this many times the steps."""
LAST_RUNG = 3
"""The first rung, 0, has a quarter of the budget's steps; this one has 16 times as many."""
BUNDLES_PER_ROUND = 4
"""Bundles of new settings in a round: few, because a round that has begun must be finished."""


@dataclass(frozen=True)
class _Round:
    """The same trials for every subject. A round that is not finished does not count.

    Args:
        assignments: The assignments of the round.
        seconds: Expected time, summed over all processes.
    """

    assignments: list[Assignment]
    seconds: float


class TimedPlan:
    """Gives every setting a few steps, and the best ones more and more.

    Asynchronous successive halving: if a setting is in the best quarter of its rung on any subject,
    by the attacker's validation samples, it is run on all subjects with four times the steps. If
    there is none, further settings of the suite are run, with families taking turns. So every arm
    has the same trials whenever the time runs out. Records alone decide what comes next; the clock
    only decides when to stop.

    Source: L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020,
    https://arxiv.org/abs/1810.05934, algorithm 2. Differs from the paper: each round is finished
    before the next, so that arms stay equal.

    Args:
        suite: Attacks and budgets. After its minutes the plan stops.
        workers: Number of processes, to turn their seconds into minutes.
        subjects: How many subjects there will be.
        is_done: Whether an assignment has records from an interrupted run.
    """

    def __init__(
        self, suite: Suite, workers: int, subjects: int, is_done: Callable[[Assignment], bool]
    ) -> None:
        self._suite, self._workers, self._is_done = suite, workers, is_done
        self._started, self._before = time.monotonic(), 0.0
        self._expected, self._subjects = subjects, list[tuple[Subject, int]]()
        self._budgets = tuple(budget for budget in suite.budgets if budget.labels != 1)
        self._untried = list_rounds(suite) if self._budgets else iter(())
        self._settings = {Configuration.of(setting): setting for setting in suite.attacks}
        self._records: list[Record] = []
        self._open: set[int] = set()
        self._new: set[int] = set()
        self._of_this_round: list[Record] = []
        self._begun, self._wall, self._work = 0.0, 0.0, 0.0
        self._rounds, self._round_count, self._rounds_of_new = self._propose_rounds(), 0, 0
        self._stopped = False

    def begin(self, subject: Subject) -> list[Assignment]:
        """Take a subject that is ready; return the first round when all are."""
        draws = list_draws(subject, self._suite)
        if subject.arm == "control":  # no claim about controls needs several draws
            draws = draws[:1]
        self._subjects += [(subject, attacker) for attacker in draws]
        self._expected -= 1
        return [] if self._expected else self._next_round()

    def advance(self, done: Assignment, records: Sequence[Record]) -> list[Assignment]:
        """Take an assignment's records; return the next round once this one is complete."""
        self._records += records
        self._of_this_round += records
        seconds = sum(record.seconds for record in records)
        if id(done) in self._new:
            self._work += seconds
        else:
            self._before += seconds
        self._open.discard(id(done))
        if self._open:
            return []
        if self._new:
            self._wall += time.monotonic() - self._begun
        return self._next_round()

    def expected_trials(self) -> int:
        """Return 0: the end is known by the clock."""
        return 0

    def unfinished(self) -> list[Record]:
        """Return the records of a round that was not finished in time."""
        return self._of_this_round if self._open else []

    def summary(self) -> dict[str, Any]:
        """Return how much time was spent, and on what."""
        rungs = [
            {
                "labels": budget.labels,
                "steps": [_on_rung(budget, rung).steps for rung in range(LAST_RUNG + 1)],
                "settings": [
                    len(self._group_by_setting(budget, rung)) for rung in range(LAST_RUNG + 1)
                ],
            }
            for budget in self._budgets
        ]
        return {
            "time": {
                "minutes": self._suite.minutes,
                "spent": self._count_seconds(),
                "rounds": self._round_count,
                "stopped": self._stopped or bool(self._open) or self._expected > 0,
                "rungs": rungs,
            }
        }

    def _next_round(self) -> list[Assignment]:
        for proposed in self._rounds:
            assignments = proposed.assignments
            new = {id(assignment) for assignment in assignments if not self._is_done(assignment)}
            if new and self._round_count and not self._fits(proposed):
                self._stopped = True
                break
            self._round_count += 1
            if assignments:
                self._open = {id(assignment) for assignment in assignments}
                self._of_this_round = []
                self._new, self._begun = new, time.monotonic()
                return assignments
        return []

    def _fits(self, proposed: _Round) -> bool:
        """Return whether a round is likely to end in time, judging by earlier rounds."""
        assert self._suite.minutes is not None
        slowness = self._wall / self._work if self._work else 1 / self._workers
        return self._count_seconds() + slowness * proposed.seconds <= 60 * self._suite.minutes

    def _count_seconds(self) -> float:
        """Return the seconds spent so far, including those of an interrupted run."""
        return time.monotonic() - self._started + self._before / self._workers

    def _propose_rounds(self) -> Iterator[_Round]:
        """Yield rounds; each depends on the records of all before it.

        The first two are an attack in closed form and a fine-tuning: after them every arm has an
        accuracy. The benign task comes last, because the verdict does not need it.
        """
        yield from self._propose_new()
        yield from self._propose_new()
        yield from self._propose(screen_blind)
        while proposed := next(chain(self._propose_promotions(), self._propose_new()), None):
            yield proposed
        yield from self._propose(screen_benign)

    def _propose(
        self, screen: Callable[[Subject, Suite, int], list[Assignment]]
    ) -> Iterator[_Round]:
        """Yield the round of one part of the screening, if the suite has it."""
        assignments = self._for_all(lambda subject, draw: screen(subject, self._suite, draw))
        if assignments:
            yield _Round(assignments, self._estimate_seconds())

    def _propose_new(self) -> Iterator[_Round]:
        """Yield the round of the next settings of the suite, if there are any."""
        trials = next(self._untried, None)
        if trials:
            budgets = [_on_rung(budget, 0) for budget in self._budgets]
            assignments = self._for_all(
                lambda subject, attacker: assign(subject, trials, budgets, attacker=attacker)
            )
            seconds = self._estimate_seconds()
            # Count before the yield: a caller that takes only one round never resumes here.
            self._rounds_of_new += 1
            yield _Round(assignments, seconds)

    def _propose_promotions(self) -> Iterator[_Round]:
        """Yield rounds of one setting that is due for the next rung, from the highest rung down.

        Each round has one setting, so that little time is left unused when the next does not fit.
        """
        for rung in reversed(range(LAST_RUNG)):
            for budget in self._budgets:
                tried = self._group_by_setting(budget, rung)
                for setting in self._find_best(budget, rung):
                    seconds = FACTOR * sum(record.seconds for record in tried[setting])
                    yield _Round(self._promote(setting, budget, rung + 1), seconds)

    def _find_best(self, budget: Budget, rung: int) -> list[Attack]:
        """Return the unpromoted settings of a rung that are in the best quarter on some subject."""
        tried, promoted = (
            self._group_by_setting(budget, rung),
            self._group_by_setting(budget, rung + 1),
        )
        # An attack in closed form has no use for more steps.
        trained = [
            setting
            for setting in self._suite.attacks
            if any(any(record.steps) for record in tried.get(setting, ()))
        ]
        records = [record for group in tried.values() for record in group]
        best: set[Attack] = set()
        for method in {record.method for record in records if record.arm != "control"}:
            own = [record for record in records if record.method == method]
            best |= set(select_best(trained, own, budget, len(trained) // FACTOR))
        return [setting for setting in trained if setting in best and setting not in promoted]

    def _group_by_setting(self, budget: Budget, rung: int) -> dict[Attack, list[Record]]:
        """Return the records of a rung by setting."""
        by_setting: dict[Attack, list[Record]] = {}
        for record in self._records:
            cell = (record.labels, record.rung, record.task)
            if cell == (budget.labels, rung, "undesirable"):
                by_setting.setdefault(self._settings[record.attack], []).append(record)
        return by_setting

    def _estimate_seconds(self) -> float:
        """Return the seconds that a round of new settings takes, estimated from earlier ones."""
        spent = sum(
            record.seconds for record in self._records if record.rung == 0 and record.labels != 1
        )
        return spent / self._rounds_of_new if self._rounds_of_new else 0.0

    def _promote(self, setting: Attack, budget: Budget, rung: int) -> list[Assignment]:
        above = (_on_rung(budget, rung),)
        return self._for_all(
            lambda subject, attacker: assign(
                subject, [setting], above, attacker=attacker, rung=rung
            )
        )

    def _for_all(self, assign_to: Callable[[Subject, int], list[Assignment]]) -> list[Assignment]:
        every = (one for subject, draw in self._subjects for one in assign_to(subject, draw))
        return vary_scratch(every)


def _on_rung(budget: Budget, rung: int) -> Budget:
    """Return a budget with the steps of a rung."""
    return replace(budget, steps=max(1, budget.steps * FACTOR**rung // FACTOR))


def list_rounds(suite: Suite) -> Iterator[tuple[Attack, ...]]:
    """Yield a suite's settings, round by round.

    The exact last layer comes first, because it is sure to end in time; then one fine-tuning. Each
    further round has a few bundles: probes, fine-tunings and repairs in turn, each of another
    family than the one before, because an attacker is judged by the three strongest families.
    Attacks that know the method stand at the end of a suite, but come first in their tier.
    """
    first = len(suite.attacks) - suite.adaptive
    trials = (*suite.attacks[first:], *suite.attacks[:first])
    firsts = [
        next((bundle for bundle in group_into_bundles(trials) if is_first(bundle[0])), ())
        for is_first in (
            lambda trial: trial.family == EXACT,
            lambda trial: trial.tier == "fine-tuning",
        )
    ]
    tiers: dict[str, dict[str, list[Attack]]] = {}
    for trial in trials:
        if not any(trial in bundle for bundle in firsts):
            tiers.setdefault(trial.tier, {}).setdefault(trial.family, []).append(trial)
    others = _take_turns(
        _take_turns(map(group_into_bundles, families.values())) for families in tiers.values()
    )
    yield from filter(None, firsts)
    while several := list(islice(others, BUNDLES_PER_ROUND)):
        yield tuple(trial for bundle in several for trial in bundle)


def _take_turns(several: Iterable[Iterable[Bundle]]) -> Iterator[Bundle]:
    """Yield the first of each, then the second of each, and so on."""
    for turn in zip_longest(*several):
        yield from (bundle for bundle in turn if bundle is not None)
