"""Who attacks: the well-tuned attacker, whom headlines are about, and the realistic one.

The realistic attacker chooses by its own validation samples. With few labels that is a lottery: a
headline about it is mostly noise, and a defence that breaks one attack in two halves it. The
well-tuned attacker is the mean of the strongest families of attacks. Which they are is found by
the auditor's labels, in the same way for every arm.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rootbound.metrics.cells import accuracies, competes, public, selected, strongest, trials
from rootbound.metrics.estimates import Draw, Estimate, paired
from rootbound.records import EXACT, PRACTICAL, Configuration, Evaluation, Record

STRONGEST = 3
"""Families that the well-tuned attacker is the mean of, at most."""
Accuracies = np.ma.MaskedArray[Any, np.dtype[np.float64]]
"""Accuracies, masked where no trial finished."""
ONE_IN = 4
"""Families of a suite for each of them: of fewer than eight, the strongest one counts alone."""


def is_well_tuned(evaluation: Evaluation) -> bool:
    """Return whether headlines are about the well-tuned attacker: older records cannot say.

    They do not have the accuracies on the two halves of the test set.
    """
    judged = [record for record in evaluation.records if record.accuracy is not None]
    return bool(judged) and all(record.halves for record in judged)


def attacked(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> dict[Draw, float]:
    """Return the test accuracy by draw: of the attacker that headlines are about, or of a family.

    Args:
        evaluation: Everything that was measured.
        method: Name of the method.
        labels: Labels per class, None for all.
        family: Family or tier of the attacks, within which the attacker chooses by validation.
    """
    if family is None and is_well_tuned(evaluation):
        return well_tuned(evaluation, method, labels)
    return realistic(evaluation, method, labels, family)


def realistic(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> dict[Draw, float]:
    """Return the accuracy by draw of the trial that the attacker's validation samples choose."""
    return accuracies(selected(evaluation, method, labels, family))


def well_tuned(evaluation: Evaluation, method: str, labels: int | None) -> dict[Draw, float]:
    """Return the accuracy by draw of the mean of the strongest families of attacks.

    `mean over halves h of mean over f in S(1 - h) of A(draw, f, h)`, where `A(draw, f, h)` is the
    accuracy of family `f` on half `h` of the test set and `S(h)` are the families with the highest
    mean of `A(draw, f, h)` over draws. So no test sample chooses the attack that it judges
    (cross-fitting: Chernozhukov et al., "Double/debiased machine learning", 2018).

    Within a family the attacker chooses by validation. A family counts if it finished in more than
    half of the draws.
    """
    reached = _tabulate(evaluation, method, labels)
    if not reached.draws:
        return {}
    table = reached.accuracies
    parts = [
        table[:, reached.find_strongest(table[..., 1 - half]), half].mean(axis=1) for half in (0, 1)
    ]
    values = np.ma.mean(parts, axis=0).filled(np.nan)
    pairs = zip(reached.draws, values, strict=True)
    return {draw: float(value) for draw, value in pairs if value >= 0}


def finalists(records: Iterable[Record], count: int) -> list[Configuration]:
    """Return the settings that are worth further draws of labels, given what the first one found.

    Of each of the strongest families it is the strongest setting, by the auditor's labels, and of
    those of the last layer alone, which reports single out.
    """
    best: dict[str, Record] = {}
    for record in sorted(records, key=lambda one: str(one.attack)):  # they come in any order
        known = competes(record) and record.error is None
        rival = best.get(record.family)
        if known and (rival is None or _on_curve(record) > _on_curve(rival)):
            best[record.family] = record
    ranked = sorted(best.values(), key=_on_curve, reverse=True)
    others = [one for one in ranked[count:] if one.family in (PRACTICAL, EXACT)]
    return [record.attack for record in (*ranked[:count], *others)]


def _on_curve(record: Record) -> float:
    """Return the accuracy on the curve's test samples, which every trial has."""
    return record.test[record.selected]


def strongest_families(evaluation: Evaluation, method: str, labels: int | None) -> list[str]:
    """Return the families of the attacker that headlines are about, the strongest first.

    They are those with the highest mean accuracy on the whole test set; of older records, those
    that most attackers chose.
    """
    if not is_well_tuned(evaluation):
        used = Counter(one.family for one in selected(evaluation, method, labels).values())
        return [family for family, _ in used.most_common()]
    reached = _tabulate(evaluation, method, labels)
    means = reached.accuracies.mean(-1)
    return [reached.names[place] for place in reached.find_strongest(means)]


def advantage(
    evaluation: Evaluation,
    method: str,
    labels: int | None,
    family: str | None = None,
    *,
    over: str = "scratch",
) -> Estimate | None:
    """Return what the weights are worth to the attacker: accuracy minus scratch's, in points.

    Scratch is the attacker of headlines on random weights with the same labels, whatever the
    family, since weights can always be thrown away. Both sides have equal trials.

    Args:
        evaluation: Everything that was measured.
        method: Name of the method.
        labels: Labels per class, None for all.
        family: Family or tier of the attacks on the method; None for all that compete.
        over: Name of the arm in the place of scratch, such as the public one.
    """
    return paired(attacked(evaluation, method, labels, family), attacked(evaluation, over, labels))


def marginal_advantage(evaluation: Evaluation, method: str, labels: int | None) -> Estimate | None:
    """Return what the weights add to the attacker's means: the advantage over the best of those.

    Without the weights an attacker has the stronger of two: random weights, and the public model
    where one was attacked; the advantage over that one is the smaller on average. None where
    scratch was not attacked, or the method.
    """
    over_scratch, known = advantage(evaluation, method, labels), public(evaluation)
    over_public = None if known is None else advantage(evaluation, method, labels, over=known)
    if over_scratch is None or over_public is None:
        return over_scratch
    return min(over_scratch, over_public, key=lambda gain: gain.mean)


def balanced(evaluation: Evaluation, method: str, labels: int | None) -> dict[Draw, float]:
    """Return the balanced accuracy of the same attacker; older records do not say."""
    if not is_well_tuned(evaluation):
        chosen = selected(evaluation, method, labels)
        return {draw: one.balanced for draw, one in chosen.items() if one.balanced is not None}
    values: dict[Draw, list[float]] = {}
    by_family = _chosen_by_family(evaluation, method, labels)
    for family in strongest_families(evaluation, method, labels):
        for draw, record in by_family[family].items():
            if record.balanced is not None:
                values.setdefault(draw, []).append(record.balanced)
    return {draw: statistics.fmean(several) for draw, several in values.items()}


@dataclass(frozen=True)
class _Reached:
    """What families of attacks reach in one cell.

    Args:
        draws: Its draws.
        names: The families that finished in more than half of them.
        accuracies: Accuracies `(draws, names, 2)` on halves of the test set.
        count: How many families the well-tuned attacker is the mean of.
    """

    draws: list[Draw]
    names: list[str]
    accuracies: Accuracies
    count: int

    def find_strongest(self, table: Accuracies) -> list[int]:
        """Return the places of the strongest families, given accuracies `(draws, names)`."""
        means = table.mean(axis=0).filled(-1.0)
        # Sorting is stable: families that tie stay in the suite's order.
        return [int(place) for place in np.argsort(-means, kind="stable")[: self.count]]


def _tabulate(evaluation: Evaluation, method: str, labels: int | None) -> _Reached:
    chosen = _chosen_by_family(evaluation, method, labels)
    draws = sorted({draw for records in chosen.values() for draw in records})
    names = [name for name, records in chosen.items() if 2 * len(records) > len(draws)]
    table = np.ma.masked_all((len(draws), len(names), 2))
    for place, name in enumerate(names):
        for row, draw in enumerate(draws):
            if draw in chosen[name]:
                table[row, place] = chosen[name][draw].halves
    tried = {
        record.family
        for record in evaluation.records
        if (record.method, record.labels) == (method, labels) and competes(record)
    }
    return _Reached(draws, names, table, max(1, min(STRONGEST, len(tried) // ONE_IN)))


def _chosen_by_family(
    evaluation: Evaluation, method: str, labels: int | None
) -> dict[str, dict[Draw, Record]]:
    """Return, for each family and draw, the trial that the attacker's validation chooses."""
    chosen: dict[str, dict[Draw, Record]] = {}
    for draw, records in trials(evaluation, method, labels).items():
        for family in dict.fromkeys(record.family for record in records):
            best = strongest(record for record in records if record.family == family)
            if best is not None:
                chosen.setdefault(family, {})[draw] = best
    return chosen
