"""The course of an evaluation with a time limit: the time goes where attacks are winning."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, zip_longest
from typing import Any

from rootbound.attacks import Attack, Budget, StackedAttack
from rootbound.evaluation.assignments import Assignment, Subject, best, once, rung
from rootbound.evaluation.journal import Journal
from rootbound.records import Record
from rootbound.suites import Suite

FACTOR = 4
"""Of the settings on a rung one in so many goes on, with so many times the steps."""
TOP = 3
"""The last rung; the first has a quarter of the budget's steps, this one 16 times as many."""
AT_ONCE = 4
"""Bundles of new settings in a round: few, because a round that has begun is finished."""


@dataclass
class TimeLimit:
    """How long an evaluation may take.

    Args:
        minutes: in all, above 0.
        workers: processes, to turn their seconds into minutes.
        before: seconds of work that earlier sittings have done, all processes together.
    """

    minutes: float
    workers: int
    before: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds so far, those of earlier sittings included."""
        return time.monotonic() - self.started + self.before / self.workers

    def allows(self, seconds: float) -> bool:
        """Return whether there are so many seconds left."""
        return self.spent + seconds <= 60 * self.minutes


@dataclass(frozen=True)
class _Round:
    """The same trials for every subject: what is begun is finished, or counts for nothing."""

    assignments: list[Assignment]
    seconds: float
    """It is expected to take, all processes together."""


class Halving:
    """Says what is to be done next: every setting a little, those that win more and more.

    Asynchronous successive halving: where a setting is among the best quarter of its rung on
    any subject, by the attacker's validation samples, all subjects meet it with four times the
    steps; where none is, they meet further settings of the suite, a family after the other. So
    every arm has the same trials whenever the time is over. What is next is decided by records
    alone; the clock decides only where it ends.

    Source: L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020,
    https://arxiv.org/abs/1810.05934, algorithm 2; rounds are waited for, so that arms stay equal.

    Args:
        suite: attacks and budgets.
        journal: holds records from before, which are not made again.
        benign: whether there is a benign task.
        subjects: how many there will be.
        limit: after which no round is begun, the first excepted.
    """

    def __init__(
        self,
        suite: Suite,
        journal: Journal,
        *,
        benign: bool = False,
        subjects: int,
        limit: TimeLimit,
    ) -> None:
        self._suite, self._benign, self._limit = suite, benign, limit
        self._journal = journal
        self._expected, self._subjects = subjects, list[Subject]()
        self._budgets = tuple(one for one in suite.budgets if one.labels != 1)
        self._untried = _by_turns(suite.attacks) if self._budgets else iter(())
        self._records: list[Record] = []
        self._open: set[int] = set()
        self._begun, self._wall, self._work = 0.0, 0.0, 0.0
        self._coming, self._rounds, self._blocks = self._proposals(), 0, 0
        self._stopped = False

    def begin(self, subject: Subject) -> list[Assignment]:
        """Take a subject that is ready; return the first round when all are."""
        self._subjects.append(subject)
        return [] if len(self._subjects) < self._expected else self._next_round()

    def advance(self, done: Assignment, records: Sequence[Record]) -> list[Assignment]:
        """Take an assignment's records; return the next round once this one is complete."""
        self._records += records
        self._work += sum(one.seconds for one in records)
        self._open.discard(id(done))
        if self._open:
            return []
        self._wall += time.monotonic() - self._begun
        return self._next_round()

    def account(self) -> dict[str, Any]:
        """Return what was spent, for the record."""
        return {
            "minutes": self._limit.minutes,
            "spent": self._limit.spent,
            "rounds": self._rounds,
            "stopped": self._stopped,
            "rungs": [
                {
                    "labels": budget.labels,
                    "steps": [_on(budget, number).steps for number in range(TOP + 1)],
                    "settings": [len(self._tried(budget, number)) for number in range(TOP + 1)],
                }
                for budget in self._budgets
            ],
        }

    def _next_round(self) -> list[Assignment]:
        for proposed in self._coming:
            new = [one for one in proposed.assignments if not self._journal.holds(one)]
            if new and self._rounds and not self._fits(proposed):
                self._stopped = True
                return []
            recalled = [
                record
                for assignment in proposed.assignments
                for record in self._journal.recall(assignment) or ()
            ]
            self._records += recalled
            self._limit.before += sum(one.seconds for one in recalled)
            self._rounds += 1
            if new:
                self._open, self._begun = {id(one) for one in new}, time.monotonic()
                return new
        return []

    def _fits(self, proposed: _Round) -> bool:
        """Return whether a round is likely to end in time; what rounds took tells how long."""
        slowness = self._wall / self._work if self._work else 1 / self._limit.workers
        return self._limit.allows(slowness * proposed.seconds)

    def _proposals(self) -> Iterator[_Round]:
        """Yield rounds, each out of the records of all before it."""
        yield from self._further()
        aside = [
            assignment
            for subject in self._subjects
            for assignment in once(subject, self._suite, benign=self._benign)
        ]
        if aside:
            yield _Round(aside, self._usual())
        while found := next(chain(self._promotions(), self._further()), None):
            yield found

    def _further(self) -> Iterator[_Round]:
        """Yield the round of the next settings of the suite, if there are any."""
        block = [trial for bundle in islice(self._untried, AT_ONCE) for trial in bundle]
        if block:
            budgets = tuple(_on(budget, 0) for budget in self._budgets)
            yield _Round(self._for_all(block, budgets, 0), self._usual())
            self._blocks += 1

    def _promotions(self) -> Iterator[_Round]:
        """Yield rounds of one setting that is due for the next rung, from the highest down.

        Of one alone, so that little time is left over where the next round takes too long.
        """
        for number in reversed(range(TOP)):
            for budget in self._budgets:
                tried = self._tried(budget, number)
                for setting in self._due(budget, number):
                    seconds = FACTOR * sum(one.seconds for one in tried[repr(setting)])
                    above = (_on(budget, number + 1),)
                    yield _Round(self._for_all([setting], above, number + 1), seconds)

    def _due(self, budget: Budget, number: int) -> list[Attack]:
        """Return the best quarter of a rung on any subject, without what was promoted before."""
        tried, above = self._tried(budget, number), self._tried(budget, number + 1)
        trained = [
            one
            for one in self._suite.attacks
            # What is solved at once has no use for steps.
            if any(any(record.steps) for record in tried.get(repr(one), ()))
        ]
        records = [record for each in tried.values() for record in each]
        chosen: set[Attack] = set()
        for method in dict.fromkeys(one.method for one in records if one.arm != "control"):
            own = [one for one in records if one.method == method]
            chosen |= set(best(trained, own, budget, len(trained) // FACTOR))
        return [one for one in trained if one in chosen and repr(one) not in above]

    def _tried(self, budget: Budget, number: int) -> dict[str, list[Record]]:
        """Return the records of a rung by setting."""
        found: dict[str, list[Record]] = {}
        for record in self._records:
            here = (record.labels, record.rung) == (budget.labels, number)
            if here and record.task == "undesirable":
                found.setdefault(record.attack, []).append(record)
        return found

    def _usual(self) -> float:
        """Return the seconds that a round of new settings takes, so far as is known."""
        spent = sum(one.seconds for one in self._records if one.rung == 0)
        return spent / self._blocks if self._blocks else 0.0

    def _for_all(
        self, trials: Sequence[Attack], budgets: tuple[Budget, ...], number: int
    ) -> list[Assignment]:
        return [
            assignment
            for subject in self._subjects
            for assignment in rung(subject, trials, budgets, number)
        ]


def _on(budget: Budget, number: int) -> Budget:
    """Return a budget with the steps of a rung."""
    return replace(budget, steps=max(1, budget.steps * FACTOR**number // FACTOR))


def _by_turns(trials: Iterable[Attack]) -> Iterator[list[Attack]]:
    """Yield bundles of trials that run together, one of each family after the other."""
    families: dict[str, dict[Hashable, list[Attack]]] = {}
    for trial in trials:
        key = trial.bundle if isinstance(trial, StackedAttack) else trial
        families.setdefault(trial.family, {}).setdefault(key, []).append(trial)
    turns = zip_longest(*(bundles.values() for bundles in families.values()))
    return (bundle for turn in turns for bundle in turn if bundle is not None)
