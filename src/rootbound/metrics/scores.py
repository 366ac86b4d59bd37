"""Scores of a defence, and how much they depend on the attacker's luck and effort."""

from __future__ import annotations

import statistics

from rootbound.metrics.attackers import attacked
from rootbound.metrics.cells import (
    budgets,
    by_draw,
    competes,
    families,
    strongest,
    trials,
    undefended,
)
from rootbound.metrics.estimates import Draw, Estimate, over_draws, points
from rootbound.records import Evaluation, Record

LEAST_HELP = 1.0
"""Fewest points by which undefended weights must beat scratch for a resistance to be reported."""


def resistance(evaluation: Evaluation, method: str, labels: int | None) -> Estimate | None:
    """Return the share of the undefended model's advantage that a defence removes, in one cell.

    `R = (A_undefended - A_defended) / (A_undefended - A_scratch)`, from mean accuracies: 0 is no
    defence, at 1 the attacker is as good as from scratch, above 1 worse. None where the undefended
    advantage is below one point, or an arm is missing.
    """
    plain = undefended(evaluation)
    if plain is None:
        return None
    usual, own, fresh = (attacked(evaluation, arm, labels) for arm in (plain, method, "scratch"))
    common = sorted(usual.keys() & own.keys() & fresh.keys())
    if not common:
        return None
    gain = statistics.fmean(usual[draw] - fresh[draw] for draw in common)
    if 100 * gain < LEAST_HELP:
        return None
    return over_draws({draw: (usual[draw] - own[draw]) / gain for draw in common})


def mean_resistance(evaluation: Evaluation, method: str) -> float | None:
    """Return the mean resistance over the cells that have one; None if no cell has."""
    cells = [resistance(evaluation, method, labels) for labels in budgets(evaluation)]
    values = [cell.mean for cell in cells if cell is not None]
    return statistics.fmean(values) if values else None


def by_family(evaluation: Evaluation, method: str, labels: int | None) -> dict[str, Estimate]:
    """Return what each family of attacks reaches, in percent, the strongest first."""
    reached = {
        family: value
        for family in families(evaluation)
        if (value := points(attacked(evaluation, method, labels, family))) is not None
    }
    return dict(sorted(reached.items(), key=lambda pair: -pair[1].mean))


def median_attack(evaluation: Evaluation, method: str, labels: int | None) -> float | None:
    """Return the median of what the families of attacks reach, in percent."""
    values = [value.mean for value in by_family(evaluation, method, labels).values()]
    return statistics.median(values) if values else None


def upper_bound(evaluation: Evaluation, method: str, labels: int | None) -> Estimate | None:
    """Return the highest point of any curve in percent; chosen on test samples, so a bound."""
    highest: dict[Draw, float] = {}
    for draw, records in trials(evaluation, method, labels).items():
        values = [value for record in records for value in record.test]
        values += [record.accuracy for record in records if record.accuracy is not None]
        if values:
            highest[draw] = max(values)
    return points(highest)


def best_so_far(evaluation: Evaluation, method: str, labels: int | None) -> list[float]:
    """Return the accuracy of the attacker's choice after one trial, two, and so on.

    The attacker of each draw takes the trials of the screening in the suite's order and chooses
    by validation. Accuracies are on the curve's test samples, averaged over draws. Draws that
    only finalists met do not count.
    """
    screened = (
        record
        for record in evaluation.records
        if (record.method, record.labels) == (method, labels)
        and record.stage in ("screen", "search")
        and competes(record)
    )
    curves = []
    for records in by_draw(evaluation, screened).values():
        chosen: Record | None = None
        curve = []
        for record in records:
            works = record.error is None and bool(record.test)
            if works and (chosen is None or record.preference > chosen.preference):
                chosen = record
            curve.append(chosen.test[chosen.selected] if chosen is not None else 0.0)
        curves.append(curve)
    whole = max(map(len, curves), default=0)
    return [
        statistics.fmean(values)
        for values in zip(*(c for c in curves if len(c) == whole), strict=True)
    ]


def longer_run(evaluation: Evaluation, method: str, labels: int | None) -> float | None:
    """Return the best accuracy of the longer run, in percent; None if there was none."""
    cell = (method, labels, "longer")
    best = strongest(
        record
        for record in evaluation.records
        if (record.method, record.labels, record.stage) == cell
    )
    return None if best is None or best.accuracy is None else 100 * best.accuracy
