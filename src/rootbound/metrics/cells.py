"""Which records count in a cell of the table, and what the attacker would pick of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rootbound.metrics.estimates import Draw, Estimate, paired
from rootbound.records import EXACT, PRACTICAL, Evaluation, Record

MOST_COLUMNS = 8
"""Families of attacks that a table has room for."""


def methods(evaluation: Evaluation) -> list[str]:
    """Return the names of what was attacked, in order, scratch and controls last."""
    return list(dict.fromkeys(training.method for training in evaluation.trainings))


def undefended(evaluation: Evaluation) -> str | None:
    """Return the name of the undefended arm, if there is one."""
    arms = {training.arm: training.method for training in evaluation.trainings}
    return arms.get("undefended")


def families(evaluation: Evaluation) -> list[str]:
    """Return the attack families that compete, in order."""
    competing = (record for record in evaluation.records if _competes(record))
    return list(dict.fromkeys(record.family for record in competing))


def columns(evaluation: Evaluation) -> list[str]:
    """Return what a table has columns for: the families, or where they are many the tiers.

    The last layer, practical and exact, has columns in any case.
    """
    found = families(evaluation)
    if len(found) <= MOST_COLUMNS:
        return found
    tiers = dict.fromkeys(one.tier for one in evaluation.records if _competes(one))
    return [*(name for name in (PRACTICAL, EXACT) if name in found), *tiers]


def budgets(evaluation: Evaluation) -> list[int | None]:
    """Return the labels per class of each budget, in order, None for all."""
    competing = (record for record in evaluation.records if _competes(record))
    return list(dict.fromkeys(record.labels for record in competing))


def desirable(evaluation: Evaluation, method: str) -> dict[Draw, float]:
    """Return the desirable accuracy of each seed."""
    return {
        (training.seed, training.seed): training.desirable_accuracy
        for training in evaluation.trainings
        if training.method == method and training.desirable_accuracy is not None
    }


def trials(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> dict[Draw, list[Record]]:
    """Return the records of one cell by draw: of a family, of a tier, or of all that compete.

    Where settings were confirmed on new attacker seeds, only those records count; the longer
    run and trials of tier `control` are shown apart.
    """
    fitting = [
        record
        for record in evaluation.records
        if record.method == method
        and record.labels == labels
        and record.stage != "longer"
        and record.task == "undesirable"
        and (family in (record.family, record.tier) or (family is None and _competes(record)))
    ]
    confirmed = [record for record in fitting if record.stage == "confirm"]
    found: dict[Draw, list[Record]] = {}
    for record in confirmed or fitting:
        found.setdefault((record.seed, record.attacker), []).append(record)
    return found


def _competes(record: Record) -> bool:
    return record.tier != "control" and record.task == "undesirable"


def strongest(records: Iterable[Record]) -> Record | None:
    """Return the trial that the attacker would pick, by validation alone; None if all failed.

    Without validation samples (one label a class) it is the first that works.
    """
    judged = (record for record in records if record.accuracy is not None)
    return max(judged, key=lambda record: record.preference, default=None)


def selected(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> dict[Draw, Record]:
    """Return the strongest trial of each draw in a cell."""
    picked = {
        draw: strongest(records)
        for draw, records in trials(evaluation, method, labels, family).items()
    }
    return {draw: record for draw, record in picked.items() if record is not None}


def accuracies(picked: Mapping[Draw, Record]) -> dict[Draw, float]:
    """Return the accuracies of judged records."""
    return {draw: one.accuracy for draw, one in picked.items() if one.accuracy is not None}


def attacked(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> dict[Draw, float]:
    """Return the attacker's test accuracy for each draw: of the validation-selected trial."""
    return accuracies(selected(evaluation, method, labels, family))


def advantage(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> Estimate | None:
    """Return what the weights are worth to the attacker: accuracy minus scratch's, in points.

    Scratch is the strongest attack of any family on random weights with the same labels,
    since weights can always be thrown away. With a family left out both sides choose among
    all families, with equal trials.
    """
    return paired(
        attacked(evaluation, method, labels, family), attacked(evaluation, "scratch", labels)
    )


def benign(evaluation: Evaluation, method: str, labels: int | None) -> dict[Draw, float]:
    """Return the accuracy on the benign task for each draw, selected on validation."""
    found: dict[Draw, list[Record]] = {}
    for record in evaluation.records:
        if (record.method, record.labels, record.task) == (method, labels, "benign"):
            found.setdefault((record.seed, record.attacker), []).append(record)
    picked = {draw: strongest(records) for draw, records in found.items()}
    return accuracies({draw: record for draw, record in picked.items() if record is not None})


def failures(evaluation: Evaluation, method: str) -> tuple[int, int]:
    """Return how many trials on a method's models failed, and how many there were."""
    records = [record for record in evaluation.records if record.method == method]
    return sum(record.error is not None for record in records), len(records)
