"""The class of suites: frozen, named lists of attacks and budgets. A change needs a new name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from math import inf

from rootbound.attacks.base import Attack, require_attacks
from rootbound.attacks.budget import Budget
from rootbound.core.errors import InputError
from rootbound.core.fields import (
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
    check,
    require_whole,
)
from rootbound.metrics.gate import check_limit
from rootbound.metrics.looks import LEAST_DRAWS
from rootbound.records.configuration import plain
from rootbound.suites.space import Space

DRAWS_IN_TIME = 3
"""Draws of labels for every budget in a run with limited time."""
MOST_DRAWS = 40
"""Most draws of labels in a run that adds them until a gate is decided."""
BESIDE = ("name", "adaptive", "trial_limit", "minutes", "draws", "finalists", "until")
"""Fields that do not change which trials a suite asks for, or that older suites do not have."""


@dataclass(frozen=True)
class Until:
    """The end of a run that adds draws of labels until a gate is decided.

    Args:
        limit: Largest allowed marginal advantage, in points.
        draws: Most draws of labels for each seed and number of labels.

    Raises:
        InputError: The limit is not finite, or the draws are too few to show anything.
    """

    limit: float
    draws: PositiveInt

    def __post_init__(self) -> None:
        check(self)
        check_limit(self.limit)
        if self.draws < LEAST_DRAWS:
            raise InputError(
                f"at least {LEAST_DRAWS} draws, so that their spread is known",
                str(self.draws),
                "allow more",
            )


@dataclass(frozen=True)
class Suite:
    """The attacks and budgets that every arm meets.

    Args:
        name: Name with a version.
        attacks: The trials that screen a model.
        budgets: The budgets of each trial.
        draws: Number of draws of labels for each budget, the same for every arm; each draw has new
            scratch weights. One draw if left out.
        finalists: How many attacks meet the draws after the first, which only chooses them: the
            strongest settings of this many families, on each model and with each number of labels,
            by the auditor's labels. Then only the draws after the first count, except with one
            label per class. 0 if all attacks meet all draws.
        blind: The trials for budgets of one label per class, where validation is impossible: the
            attacker takes the first that works, on every model.
        space: The space in which further settings are proposed, given the screening's results.
        benign: The trials on a harmless third task, if there is one, with 10 and 100 labels.
        controls: Whether raw pixels, and a small network from scratch, are attacked as well.
        confirmed: How many of each tier's best settings meet new attacker seeds; 0 for none.
        attackers: How many attacker seeds they meet.
        longer: Factor of the steps with which the best setting runs once more; 0 for not at all.
        adaptive: How many of the attacks were added because they know a method.
        minutes: Minutes after which the run stops, if the time is limited; see `within`.
        trial_limit: Seconds after which a trial fails. It is meant for trials that hang, and is not
            part of the digest.
        until: The gate that further draws of labels should decide; see `until_decided`.

    Raises:
        InputError: There is no attack or no budget, an attack or a number of labels occurs twice, a
            limit is not positive, or there is one label per class without `blind`.
    """

    name: str
    attacks: tuple[Attack, ...]
    budgets: tuple[Budget, ...]
    blind: tuple[Attack, ...] = ()
    space: Space | None = None
    benign: tuple[Attack, ...] = ()
    controls: bool = False
    confirmed: NonNegativeInt = 0
    attackers: PositiveInt = 1
    longer: NonNegativeInt = 0
    adaptive: NonNegativeInt = 0
    minutes: PositiveFloat | None = None
    trial_limit: PositiveFloat = 3600.0
    draws: tuple[int, ...] = ()
    finalists: NonNegativeInt = 0
    until: Until | None = None

    def __post_init__(self) -> None:
        check(self)
        if not self.attacks or not self.budgets:
            raise InputError("a suite with attacks and budgets", repr(self.name), "add some")
        if self.draws and (len(self.draws) != len(self.budgets) or min(self.draws) < 1):
            raise InputError(
                "a positive number of draws for each budget", str(self.draws), "correct `draws`"
            )
        drawn_once = set(self.budgets) - set(self.budgets_of(1))
        if self.finalists and any(budget.labels != 1 for budget in drawn_once):
            raise InputError(
                "at least two draws of labels with finalists: one to choose them, one to count",
                str(self.draws or 1), "correct `draws`",
            )  # fmt: skip
        if self.minutes is not None and self.until is not None:
            raise InputError(
                "either a limit of time or further draws until a gate is decided", "both",
                "leave one out",
            )  # fmt: skip
        if len(set(self.attacks)) < len(self.attacks):
            twice = max(self.attacks, key=self.attacks.count)
            raise InputError("each attack once", f"{twice!r} twice", "leave one out")
        labels = [budget.labels for budget in self.budgets]
        if len(set(labels)) < len(labels):  # it is part of the key of records
            raise InputError(
                "budgets with different numbers of labels",
                ", ".join("all" if one is None else str(one) for one in labels),
                "leave one of them out",
            )
        if any(budget.labels == 1 for budget in self.budgets) and not self.blind:
            raise InputError(
                "a suite with fixed settings for one label per class",
                repr(self.name),
                "ask for at least 2 labels, or name the settings in `blind`",
            )

    def with_budgets(self, budgets: tuple[Budget, ...]) -> Suite:
        """Return the suite with the same attacks and other budgets; the name says so.

        Raises:
            InputError: They are not a list of budgets.
        """
        if isinstance(budgets, Budget) or not all(isinstance(one, Budget) for one in budgets):
            raise InputError(
                "budgets in a tuple", repr(budgets), "write for example (rb.Budget(100, 40),)"
            )
        budgets = tuple(budgets)
        name = f"{self.name} with own budgets"
        return replace(self, name=name, budgets=budgets, draws=self._draws_for(budgets))

    def steps_for(self, labels: int | None) -> int:
        """Return the steps that the suite allows with this or the next smaller number of labels."""
        return self.budgets[self._nearest(labels)].steps

    def _draws_for(self, budgets: tuple[Budget, ...]) -> tuple[int, ...]:
        """Return the suite's draws for each of these budgets, by the same rule as `steps_for`."""
        return tuple(self.draws[self._nearest(one.labels)] for one in budgets) if self.draws else ()

    def _nearest(self, labels: int | None) -> int:
        """Return the position of the budget with this, the next smaller or the fewest labels."""
        many = [inf if own.labels is None else own.labels for own in self.budgets]
        fewer = [own for own in many if own <= (inf if labels is None else labels)]
        return many.index(max(fewer, default=min(many)))

    def budgets_of(self, draw: int) -> tuple[Budget, ...]:
        """Return the budgets that have the draw of this number, counted from 0."""
        draws = self.draws or (1,) * len(self.budgets)
        return tuple(
            budget for budget, count in zip(self.budgets, draws, strict=True) if draw < count
        )

    def with_attacks(self, attacks: tuple[Attack, ...]) -> Suite:
        """Return the suite with further attacks, each of them once; the name says so.

        Raises:
            InputError: They are not a list of attacks.
        """
        attacks = require_attacks(attacks, "the suite")
        further = tuple(attack for attack in dict.fromkeys(attacks) if attack not in self.attacks)
        if not further:
            return self
        many = "s" if len(further) > 1 else ""
        name = f"{self.name} with {len(further)} adaptive attack{many}"
        more = (*self.attacks, *further)
        return replace(self, name=name, attacks=more, adaptive=self.adaptive + len(further))

    def with_attackers(self, count: int) -> Suite:
        """Return the suite with the best settings confirmed on `count` attacker seeds.

        Intervals get narrower; the choice of the best settings stays the same.

        Raises:
            InputError: The count is below 1, or the suite confirms nothing.
        """
        count = require_whole("attackers", count, Range())
        if count < 1:
            raise InputError("at least 1 seed of attackers", str(count), "raise it")
        if self.finalists:
            draws = tuple(count if budget.labels == 1 else count + 1 for budget in self.budgets)
            name = f"{self.name} on {count} attackers"
            return self if draws == self.draws else replace(self, name=name, draws=draws)
        if not self.confirmed:
            raise InputError(
                "a suite that confirms its best settings", repr(self.name),
                "ask for more seeds, or use standard-2",
            )  # fmt: skip
        if count == self.attackers:
            return self
        return replace(self, name=f"{self.name} on {count} attackers", attackers=count)

    def until_decided(self, limit: float, draws: int = MOST_DRAWS) -> Suite:
        """Return the suite with draws of labels added, for all arms, until a gate is decided.

        Args:
            limit: Largest allowed marginal advantage, in points.
            draws: Most draws for each seed and number of labels, including those of the suite.

        Raises:
            InputError: The limit is not finite, the draws are too few, or the time is limited.
        """
        name = f"{self.name} until decided in {draws} draws"
        return replace(self, name=name, until=Until(limit, draws))

    def within(self, minutes: float) -> Suite:
        """Return the suite for a limited time: every setting gets few steps, and the best get more.

        Its later stages are left out. A run with more minutes continues where this one ended.

        Raises:
            InputError: The time is not above 0, or draws are added until a gate is decided.
        """
        name = f"{self.name} by halving"
        return replace(
            self, name=name, draws=(DRAWS_IN_TIME,) * len(self.budgets), minutes=minutes,
            finalists=0, space=None, confirmed=0, attackers=1, longer=0,
        )  # fmt: skip

    def usual_seeds(self, *, of_one_model: bool) -> int:
        """Return the default number of seeds of a run: one if the suite itself draws repeatedly."""
        return 1 if self.confirmed or (of_one_model and (self.draws or self.until)) else 3

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any setting, but not with limits of time."""
        deciding = (part.name for part in fields(self) if part.name not in BESIDE)
        settings = [repr(plain(getattr(self, name))) for name in deciding]
        settings += [f"draws {self.draws}"] if self.draws else []  # older suites have none
        settings += [f"finalists {self.finalists}"] if self.finalists else []
        settings += ["by halving"] if self.minutes is not None else []
        settings += [repr(plain(self.until))] if self.until is not None else []
        return hashlib.sha256("\n".join(settings).encode()).hexdigest()[:12]
