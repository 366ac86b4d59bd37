"""What an attacker must spend to reach a goal: steps, operations, labels.

Costs are censored: where the goal was not reached, only a lower bound is known.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

from rootbound.metrics.attackers import attacked, realistic
from rootbound.metrics.cells import budgets, trials, undefended
from rootbound.records import Evaluation, Record

Unit = Literal["steps", "flops"]


def steps_to_reach(
    evaluation: Evaluation, method: str, labels: int | None, family: str, share: float
) -> list[int | None]:
    """Return, by draw, the fewest steps to reach a share of the undefended model's accuracy.

    The fastest trial counts, judged on the test curve, which favours the attacker. None means
    that the share was not reached within the budget.
    """
    plain = undefended(evaluation)
    if plain is None:
        return []
    goals = realistic(evaluation, plain, labels, family)
    reached: list[int | None] = []
    for draw, records in sorted(trials(evaluation, method, labels, family).items()):
        if draw in goals:
            steps = (_find_first_step(record, share * goals[draw]) for record in records)
            reached.append(min((step for step in steps if step is not None), default=None))
    return reached


def _find_first_step(record: Record, goal: float) -> int | None:
    curve = zip(record.steps, record.test, strict=True)
    return next((step for step, value in curve if value >= goal), None)


def median_steps(reached: Sequence[int | None]) -> float | None:
    """Return the median over draws; None if the goal was not reached in half of them or more."""
    if not reached:
        return None
    ordered = sorted(math.inf if step is None else step for step in reached)
    middle = statistics.median(ordered)
    return None if math.isinf(middle) else middle


def multiples(
    evaluation: Evaluation, method: str, labels: int | None, unit: Unit, share: float = 0.95
) -> list[tuple[float, bool]]:
    """Return, by draw, the cost of reaching scratch's accuracy as a multiple of scratch's cost.

    The goal is `share` of what the strongest attack on scratch reaches with the same labels. The
    cost is that of the cheapest trial that reaches it, on either arm. A draw in which every trial
    failed is left out: it says nothing about costs.

    Returns:
        Pairs: the multiple, and whether the goal was reached. Where it was not, the multiple is a
        lower bound, computed from the most expensive trial.
    """
    goals = realistic(evaluation, "scratch", labels)
    own = trials(evaluation, method, labels)
    fresh = trials(evaluation, "scratch", labels)
    pairs = []
    for draw in sorted(set(goals) & set(own) & set(fresh)):
        goal = share * goals[draw]
        reference = _find_cheapest(fresh[draw], goal, unit)
        if reference is None:
            continue
        reached = _find_cheapest(own[draw], goal, unit)
        spent = [
            _compute_cost(record, record.steps[-1], unit) for record in own[draw] if record.steps
        ]
        if spent:
            cost = max(spent) if reached is None else reached
            pairs.append((cost / reference, reached is not None))
    return pairs


def _find_cheapest(records: Sequence[Record], goal: float, unit: Unit) -> float | None:
    costs = (
        _compute_cost(record, step, unit)
        for record in records
        if (step := _find_first_step(record, goal)) is not None
    )
    # Attacks that are solved at once, in no steps, have a cost in operations only.
    return min((cost for cost in costs if cost > 0), default=None)


def _compute_cost(record: Record, step: int, unit: Unit) -> float:
    if unit == "steps":
        return float(step)
    return record.flops * (step / record.steps[-1] if record.steps[-1] else 1.0)


def labels_multiples(
    evaluation: Evaluation, method: str, share: float = 0.95
) -> list[tuple[float, bool]]:
    """Return, by draw, the labels needed to reach scratch's accuracy as a multiple of scratch's.

    The goal is a share of what scratch reaches with the largest number of labels short of all.
    Only the budgets' numbers of labels are known, so multiples are coarse. Only draws that were
    attacked with all of these numbers count.
    """
    counts = sorted(count for count in budgets(evaluation) if count is not None)
    if not counts:
        return []
    goals = attacked(evaluation, "scratch", counts[-1])
    own = [(count, attacked(evaluation, method, count)) for count in counts]
    fresh = [(count, attacked(evaluation, "scratch", count)) for count in counts]
    arms = [(name, count) for name in (method, "scratch") for count in counts]
    drawn = set.intersection(*(set(trials(evaluation, *arm)) for arm in arms))
    pairs = []
    for draw in sorted(drawn & goals.keys()):
        best = goals[draw]
        reference, needed = (
            next((count for count, by_draw in arm if by_draw.get(draw, 0.0) >= share * best), None)
            for arm in (fresh, own)
        )
        if reference is not None:
            pairs.append(((needed or counts[-1]) / reference, needed is not None))
    return pairs


def kaplan_meier_median(times: Sequence[tuple[float, bool]]) -> float | None:
    """Return the median of censored times; None if it is above all observed times.

    The median is the first time at which at most half are estimated to remain (E. Kaplan,
    P. Meier, "Nonparametric Estimation from Incomplete Observations", 1958).

    Args:
        times: Times, each with whether it was observed; if not, it is a lower bound.
    """
    remaining, survival = len(times), 1.0
    # At equal times the observed ones come first: the censored were still at risk.
    for time, observed in sorted(times, key=lambda pair: (pair[0], not pair[1])):
        if observed:
            survival *= 1 - 1 / remaining
            if survival <= 0.5 + 1e-12:
                return time
        remaining -= 1
    return None
