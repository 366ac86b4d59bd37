"""Standings: for each method, the numbers of its row on a leaderboard."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rootbound.metrics import attackers, cells
from rootbound.metrics.costs import labels_multiples, multiples
from rootbound.metrics.desirable_task import desirable_accuracy, desirable_change
from rootbound.metrics.estimates import Estimate, paired, points
from rootbound.records import EXACT, Configuration, Evaluation

Multiple = tuple[float, bool]
"""A multiple of scratch's cost, and whether scratch was reached; if not, it is a lower bound."""


@dataclass(frozen=True)
class Worst:
    """The number of labels with which a method's weights help an attacker most.

    Args:
        advantage: Advantage in points, over scratch unless another is named.
        labels: Labels per class, None for all.
        attack: Strongest family of attacks there.
    """

    advantage: Estimate
    labels: int | None
    attack: str


@dataclass(frozen=True)
class Standing:
    """What one method keeps, what it leaves to attackers, and what it costs.

    Args:
        method: Name of the method.
        settings: The method's class and settings; in words where nothing was trained.
        desirable: Desirable accuracy, in percent.
        change: Its change against the undefended model, in points.
        exact: What the exact new last layer reaches with the most labels, in percent.
        worst: The largest advantage of the strongest attack over scratch for any labels.
        steps: Multiples of scratch's steps in that cell, by draw.
        labels: Multiples of scratch's labels, by draw.
        benign: The largest loss on the benign task against the undefended model, in points.
        cost: Seconds of training as a multiple of the undefended model's.
        over_public: The largest advantage of the strongest attack over the public model for any
            labels; None without such an arm.
        marginal: The largest advantage over the stronger of scratch and the public model.
    """

    method: str
    settings: Configuration | str
    desirable: Estimate | None
    change: Estimate | None
    exact: Estimate | None
    worst: Worst | None
    steps: tuple[Multiple, ...]
    labels: tuple[Multiple, ...]
    benign: Estimate | None
    cost: float | None
    over_public: Worst | None = None
    marginal: Worst | None = None


def standings(evaluation: Evaluation) -> list[Standing]:
    """Return where every trained method stands, the least worst advantage first."""
    arms = {training.method: training.arm for training in evaluation.trainings}
    names = [name for name, arm in arms.items() if arm in ("defended", "undefended")]
    return sorted(
        (_build_standing(evaluation, name) for name in names),
        key=lambda row: math.inf if row.worst is None else row.worst.advantage.mean,
    )


def _build_standing(evaluation: Evaluation, method: str) -> Standing:
    plain = cells.undefended(evaluation)
    budgets = cells.budgets(evaluation)
    exact = attackers.attacked(evaluation, method, budgets[-1], EXACT) if budgets else {}
    worst, known = _find_worst(evaluation, method, attackers.advantage), cells.public(evaluation)
    over_public = None if known is None else partial(attackers.advantage, over=known)
    steps = [] if worst is None else multiples(evaluation, method, worst.labels, "steps")
    settings = {training.method: training.settings for training in evaluation.trainings}
    return Standing(
        method=method,
        settings=settings[method],
        desirable=desirable_accuracy(evaluation, method),
        change=desirable_change(evaluation, method),
        exact=points(exact),
        worst=worst,
        steps=tuple(steps),
        labels=tuple(labels_multiples(evaluation, method)),
        benign=_find_benign_loss(evaluation, method, plain),
        cost=_compare_seconds(evaluation, method, plain),
        over_public=None if over_public is None else _find_worst(evaluation, method, over_public),
        marginal=_find_worst(evaluation, method, attackers.marginal_advantage),
    )


def _find_worst(
    evaluation: Evaluation,
    method: str,
    measure: Callable[[Evaluation, str, int | None], Estimate | None],
) -> Worst | None:
    candidates = []
    for labels in cells.budgets(evaluation):
        value = measure(evaluation, method, labels)
        if value is not None:
            attack = attackers.strongest_families(evaluation, method, labels)[0]
            candidates.append(Worst(value, labels, attack))
    return max(candidates, key=lambda cell: cell.advantage.mean, default=None)


def _find_benign_loss(evaluation: Evaluation, method: str, plain: str | None) -> Estimate | None:
    if plain in (None, method):
        return None
    budgets = {record.labels for record in evaluation.records if record.task == "benign"}
    changes = (
        paired(
            cells.benign(evaluation, method, labels), cells.benign(evaluation, str(plain), labels)
        )
        for labels in budgets
    )
    known = (change for change in changes if change is not None)
    return min(known, key=lambda change: change.mean, default=None)


def _compare_seconds(evaluation: Evaluation, method: str, plain: str | None) -> float | None:
    seconds: dict[str, dict[int, float]] = {}
    for training in evaluation.trainings:
        seconds.setdefault(training.method, {})[training.seed] = training.seconds
    usual, own = seconds.get(plain or "", {}), seconds[method]
    ratios = [own[seed] / usual[seed] for seed in own if usual.get(seed)]
    return statistics.median(ratios) if ratios else None
