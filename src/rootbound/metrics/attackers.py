"""The two attackers: the well-tuned one, which headlines report, and the realistic one.

The realistic attacker chooses by its own validation samples. With few labels this choice is mostly
luck: a headline about it would be mostly noise, and a defence that breaks half of the attacks would
halve it. The well-tuned attacker is the mean of the strongest families of attacks. The auditor's
labels decide which families these are, in the same way for every arm.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rootbound.metrics.cells import accuracies, competes, public, selected, strongest, trials
from rootbound.metrics.estimates import Draw, Estimate, paired
from rootbound.records import EXACT, PRACTICAL, Configuration, Evaluation, Record

STRONGEST = 3
"""Largest number of families that the well-tuned attacker is the mean of."""
Accuracies = np.ma.MaskedArray[Any, np.dtype[np.float64]]
"""Accuracies, masked where no trial finished."""
FAMILIES_PER_STRONGEST = 4
"""One in so many families of a suite counts; with fewer than eight, only the strongest does."""


def is_well_tuned(evaluation: Evaluation) -> bool:
    """Return whether headlines can report the well-tuned attacker.

    It needs the accuracies on the two halves of the test set, which older records do not have.
    """
    judged = [record for record in evaluation.records if record.accuracy is not None]
    return bool(judged) and all(record.halves for record in judged)


def attacked(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> dict[Draw, float]:
    """Return the test accuracy by draw, of the attacker that headlines report or of one family.

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
    """Return, by draw, the accuracy of the trial with the best validation accuracy."""
    return accuracies(selected(evaluation, method, labels, family))


def well_tuned(evaluation: Evaluation, method: str, labels: int | None) -> dict[Draw, float]:
    """Return, by draw, the mean accuracy of the strongest families of attacks.

    `mean over halves h of mean over f in S(1 - h) of A(draw, f, h)`, where `A(draw, f, h)` is the
    accuracy of family `f` on half `h` of the test set and `S(h)` are the families with the highest
    mean of `A(draw, f, h)` over draws. So no test sample chooses the family that it judges
    (cross-fitting: Chernozhukov et al., "Double/debiased machine learning", 2018). The finalists of
    a first draw are chosen on the curve's test samples, which also judge the other draws. That
    favours the attacker a little, in the same way on every arm.

    Within a family the attacker chooses by validation. A family counts if it finished in more than
    half of the draws. Where attacks were chosen for each model by itself, so are the strongest
    families.
    """
    values: dict[Draw, float] = {}
    for reached in _tabulate(evaluation, method, labels):
        table = reached.accuracies
        parts = [
            table[:, reached.find_strongest(table[..., 1 - half]), half].mean(axis=1)
            for half in (0, 1)
        ]
        means = np.ma.mean(parts, axis=0).filled(np.nan)
        pairs = zip(reached.draws, means, strict=True)
        values |= {draw: float(value) for draw, value in pairs if value >= 0}
    return values


def finalists(records: Iterable[Record], count: int) -> list[Configuration]:
    """Return the settings that go on to further draws of labels, given the records of the first.

    These are the best setting of each of the strongest families, by the auditor's labels. Settings
    that train the last layer alone are added, because reports show them by themselves.
    """
    best: dict[str, Record] = {}
    for record in sorted(records, key=lambda one: str(one.attack)):  # they come in any order
        known = competes(record) and record.error is None
        rival = best.get(record.family)
        if known and (rival is None or _get_curve_accuracy(record) > _get_curve_accuracy(rival)):
            best[record.family] = record
    ranked = sorted(best.values(), key=_get_curve_accuracy, reverse=True)
    others = [one for one in ranked[count:] if one.family in (PRACTICAL, EXACT)]
    return [record.attack for record in (*ranked[:count], *others)]


def _get_curve_accuracy(record: Record) -> float:
    """Return the accuracy on the curve's test samples, which every trial has."""
    return record.test[record.selected]


def strongest_families(evaluation: Evaluation, method: str, labels: int | None) -> list[str]:
    """Return the families behind the attacker that headlines report, the strongest first.

    They have the highest mean accuracy on the whole test set. Where the strongest families were
    found for each model, these are the ones that most models have in common. For older records
    they are the ones that most attackers chose.
    """
    if not is_well_tuned(evaluation):
        used = Counter(one.family for one in selected(evaluation, method, labels).values())
        return [family for family, _ in used.most_common()]
    several = _tabulate(evaluation, method, labels)
    ranked: dict[str, list[float]] = {}
    for reached in several:
        for name, accuracy in reached.name_strongest().items():
            ranked.setdefault(name, []).append(accuracy)
    names = sorted(ranked, key=lambda name: (-len(ranked[name]), -statistics.fmean(ranked[name])))
    return names[: several[0].count] if several else []


def advantage(
    evaluation: Evaluation,
    method: str,
    labels: int | None,
    family: str | None = None,
    *,
    over: str = "scratch",
) -> Estimate | None:
    """Return what the weights are worth to the attacker: accuracy minus scratch's, in points.

    Scratch is the same attacker on random weights with the same labels. It may use any family,
    since weights can always be thrown away. Both sides are screened with the same trials, and the
    same number of finalists goes on.

    Args:
        evaluation: Everything that was measured.
        method: Name of the method.
        labels: Labels per class, None for all.
        family: Family or tier of the attacks on the method; None for all that compete.
        over: Name of the arm to compare with instead of scratch, such as the public one.
    """
    return paired(attacked(evaluation, method, labels, family), attacked(evaluation, over, labels))


def marginal_advantage(evaluation: Evaluation, method: str, labels: int | None) -> Estimate | None:
    """Return what the weights add to what the attacker has anyway.

    Without them an attacker has random weights, and the public model where one was attacked. The
    marginal advantage is the smaller of the advantages over these two. None where the method or
    scratch was not attacked.
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
    for reached in _tabulate(evaluation, method, labels):
        for family in reached.name_strongest():
            for draw, record in reached.chosen[family].items():
                if record.balanced is not None:
                    values.setdefault(draw, []).append(record.balanced)
    return {draw: statistics.fmean(several) for draw, several in values.items()}


@dataclass(frozen=True)
class _Reached:
    """What families of attacks reach in one cell, or on one model of it.

    Args:
        chosen: For each family and draw, the trial that the attacker's validation chooses.
        draws: All draws.
        names: The families that finished in more than half of them.
        accuracies: Accuracies `(draws, names, 2)` on halves of the test set.
        count: How many families the well-tuned attacker is the mean of.
    """

    chosen: dict[str, dict[Draw, Record]]
    draws: list[Draw]
    names: list[str]
    accuracies: Accuracies
    count: int

    @classmethod
    def of(cls, records: Mapping[Draw, Sequence[Record]], count: int) -> _Reached:
        """Summarise the records of some draws."""
        chosen: dict[str, dict[Draw, Record]] = {}
        for draw, several in records.items():
            for family in dict.fromkeys(record.family for record in several):
                best = strongest(record for record in several if record.family == family)
                if best is not None:
                    chosen.setdefault(family, {})[draw] = best
        draws = sorted({draw for found in chosen.values() for draw in found})
        names = [name for name, found in chosen.items() if 2 * len(found) > len(draws)]
        table = np.ma.masked_all((len(draws), len(names), 2))
        for place, name in enumerate(names):
            for row, draw in enumerate(draws):
                if draw in chosen[name]:
                    table[row, place] = chosen[name][draw].halves
        return cls(chosen, draws, names, table, count)

    def find_strongest(self, table: Accuracies) -> list[int]:
        """Return the places of the strongest families, given accuracies `(draws, names)`."""
        means = table.mean(axis=0).filled(-1.0)
        # Sorting is stable: families that tie stay in the suite's order.
        return [int(place) for place in np.argsort(-means, kind="stable")[: self.count]]

    def name_strongest(self) -> dict[str, float]:
        """Return the strongest families on the whole test set, with their accuracies."""
        table = self.accuracies.mean(-1)
        means = table.mean(axis=0)
        return {self.names[place]: float(means[place]) for place in self.find_strongest(table)}


def _tabulate(evaluation: Evaluation, method: str, labels: int | None) -> list[_Reached]:
    """Return what families reach: on all models, or by model where attacks were chosen by model."""
    draws = trials(evaluation, method, labels)
    is_confirmed = any(one.stage == "confirm" for records in draws.values() for one in records)
    by_model: dict[int, dict[Draw, list[Record]]] = {}
    for draw, records in draws.items():
        by_model.setdefault(records[0].seed if is_confirmed else 0, {})[draw] = records
    # This counts all families that were tried, including those that only met the first draw.
    tried = {
        record.family
        for record in evaluation.records
        if (record.method, record.labels) == (method, labels) and competes(record)
    }
    count = max(1, min(STRONGEST, len(tried) // FAMILIES_PER_STRONGEST))
    several = (_Reached.of(records, count) for records in by_model.values())
    return [reached for reached in several if reached.draws]
