"""Where each method stands among the others: one row of a leaderboard, in numbers."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass

from rootbound.metrics import cells
from rootbound.metrics.costs import labels_multiples, multiples
from rootbound.metrics.estimates import Estimate, paired, points
from rootbound.records import EXACT, Configuration, Evaluation

Multiple = tuple[float, bool]
"""Of scratch's cost, and whether it was reached; where not, it is a lower bound."""


@dataclass(frozen=True)
class Worst:
    """The cell in which a method's weights are worth most to an attacker.

    Args:
        advantage: over scratch, in points.
        labels: per class, None for all.
        attack: the family that most attackers chose there.
    """

    advantage: Estimate
    labels: int | None
    attack: str


@dataclass(frozen=True)
class Standing:
    """What one method keeps, what it leaves to attackers, and what it costs.

    Args:
        method: its name.
        settings: The method's class and settings; in words where nothing was trained.
        desirable: accuracy in percent.
        change: of the desirable accuracy against the undefended model, in points.
        exact: the exact new last layer with the most labels, in percent.
        worst: over the numbers of labels, of the strongest attack's advantage over scratch.
        steps: multiples of scratch's steps in the worst cell, by draw.
        labels: multiples of scratch's labels, by draw.
        benign: the largest loss on the benign task, in points against the undefended model.
        cost: of training, as a multiple of the undefended model's seconds.
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


def standings(evaluation: Evaluation) -> list[Standing]:
    """Return where every trained method stands, the least worst advantage first."""
    arms = {training.method: training.arm for training in evaluation.trainings}
    names = [name for name, arm in arms.items() if arm in ("defended", "undefended")]
    found = [_standing(evaluation, name) for name in names]
    return sorted(found, key=_order)


def _order(one: Standing) -> float:
    return float("inf") if one.worst is None else one.worst.advantage.mean


def _standing(evaluation: Evaluation, method: str) -> Standing:
    plain = cells.undefended(evaluation)
    own = cells.desirable(evaluation, method)
    reference = {} if plain in (None, method) else cells.desirable(evaluation, str(plain))
    budgets = cells.budgets(evaluation)
    exact = cells.attacked(evaluation, method, budgets[-1], EXACT) if budgets else {}
    worst = _worst(evaluation, method)
    steps = [] if worst is None else multiples(evaluation, method, worst.labels, "steps")
    settings = {one.method: one.settings for one in evaluation.trainings}
    return Standing(
        method=method,
        settings=settings[method],
        desirable=points(own),
        change=paired(own, reference),
        exact=points(exact),
        worst=worst,
        steps=tuple(steps),
        labels=tuple(labels_multiples(evaluation, method)),
        benign=_benign(evaluation, method, plain),
        cost=_cost(evaluation, method, plain),
    )


def _worst(evaluation: Evaluation, method: str) -> Worst | None:
    found = []
    for labels in cells.budgets(evaluation):
        value = cells.advantage(evaluation, method, labels)
        if value is not None:
            chosen = cells.selected(evaluation, method, labels).values()
            attack = Counter(record.family for record in chosen).most_common(1)[0][0]
            found.append(Worst(value, labels, attack))
    return max(found, key=lambda one: one.advantage.mean, default=None)


def _benign(evaluation: Evaluation, method: str, plain: str | None) -> Estimate | None:
    if plain in (None, method):
        return None
    tried = {record.labels for record in evaluation.records if record.task == "benign"}
    changes = [
        paired(
            cells.benign(evaluation, method, labels), cells.benign(evaluation, str(plain), labels)
        )
        for labels in tried
    ]
    known = [one for one in changes if one is not None]
    return min(known, key=lambda one: one.mean, default=None)


def _cost(evaluation: Evaluation, method: str, plain: str | None) -> float | None:
    seconds: dict[str, dict[int, float]] = {}
    for one in evaluation.trainings:
        seconds.setdefault(one.method, {})[one.seed] = one.seconds
    base, own = seconds.get(plain or "", {}), seconds[method]
    ratios = [own[seed] / base[seed] for seed in own if base.get(seed)]
    return statistics.median(ratios) if ratios else None
