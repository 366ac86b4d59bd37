"""Cells of a table: which records count in one, and which of them the attacker would choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rootbound.core.errors import InputError, unknown_name_error
from rootbound.metrics.estimates import Draw
from rootbound.records import EXACT, PRACTICAL, Arm, Evaluation, Record

MOST_COLUMNS = 8
"""Number of attack families that a table has room for."""


def methods(evaluation: Evaluation) -> list[str]:
    """Return the names of what was attacked, in order, scratch and controls last."""
    return list(dict.fromkeys(training.method for training in evaluation.trainings))


def undefended(evaluation: Evaluation) -> str | None:
    """Return the name of the undefended arm, if there is one; of several the first."""
    return _find_arm(evaluation, "undefended")


def public(evaluation: Evaluation) -> str | None:
    """Return the name of the public arm, if there is one."""
    return _find_arm(evaluation, "public")


def _find_arm(evaluation: Evaluation, arm: Arm) -> str | None:
    return next((one.method for one in evaluation.trainings if one.arm == arm), None)


def families(evaluation: Evaluation) -> list[str]:
    """Return the attack families that compete, in order."""
    competing = (record for record in evaluation.records if competes(record))
    return list(dict.fromkeys(record.family for record in competing))


def columns(evaluation: Evaluation) -> list[str]:
    """Return the columns of a table: the families, or the tiers where there are many families.

    The last layer, practical and exact, always has its columns.
    """
    names = families(evaluation)
    if len(names) <= MOST_COLUMNS:
        return names
    tiers = dict.fromkeys(record.tier for record in evaluation.records if competes(record))
    return [*(name for name in (PRACTICAL, EXACT) if name in names), *tiers]


def budgets(evaluation: Evaluation) -> list[int | None]:
    """Return the labels per class of each budget, in order, None for all."""
    competing = (record for record in evaluation.records if competes(record))
    return list(dict.fromkeys(record.labels for record in competing))


def most_labels(evaluation: Evaluation) -> int | None:
    """Return the largest number of labels per class, of the plan where no trial finished."""
    planned = (budget["labels"] for budget in evaluation.context.get("budgets", ()))
    return (budgets(evaluation) or [*planned] or [None])[-1]


def desirable(evaluation: Evaluation, method: str) -> dict[Draw, float]:
    """Return the desirable accuracy by draw; for a given model it is the same for all seeds."""
    given = is_given(evaluation)
    return {
        (0, 0) if given else (training.seed, training.seed): training.desirable_accuracy
        for training in evaluation.trainings
        if training.method == method and training.desirable_accuracy is not None
    }


def balanced_desirable(evaluation: Evaluation, method: str) -> dict[Draw, float]:
    """Return the balanced desirable accuracy of each model; older records do not say."""
    given = is_given(evaluation)
    return {
        (0, 0) if given else (training.seed, training.seed): training.desirable_balanced
        for training in evaluation.trainings
        if training.method == method and training.desirable_balanced is not None
    }


def trials(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> dict[Draw, list[Record]]:
    """Return the records of one cell by draw.

    Where settings were confirmed by new attackers, only those records count. The longer run and
    trials of tier `control` are shown apart.

    Args:
        evaluation: Everything that was measured.
        method: Name of the method.
        labels: Labels per class, None for all.
        family: Family or tier of the attacks; None for all that compete.

    Raises:
        InputError: Nothing of that name was attacked, or nothing with so many labels.
    """
    check_cell(evaluation, method, labels)
    in_cell = [
        record
        for record in evaluation.records
        if record.method == method
        and record.labels == labels
        and record.stage != "longer"
        and record.task == "undesirable"
        and (family in (record.family, record.tier) or (family is None and competes(record)))
    ]
    confirmed = [record for record in in_cell if record.stage == "confirm"]
    return by_draw(evaluation, confirmed or in_cell)


def check_cell(evaluation: Evaluation, method: str, labels: int | None) -> None:
    """Raise an `InputError` where a run has no such method or number of labels.

    Scratch is always a valid name, though a run may know nothing about it.
    """
    known = methods(evaluation)
    if method not in known and method != "scratch":
        raise unknown_name_error("method that was attacked", method, known)
    planned = (budget["labels"] for budget in evaluation.context.get("budgets", ()))
    numbers = dict.fromkeys([*planned, *(record.labels for record in evaluation.records)])
    if numbers and labels not in numbers:
        raise InputError(
            f"labels per class out of {', '.join(map(str, numbers))} (None is all)",
            repr(labels),
            "choose one of these",
        )


def by_draw(evaluation: Evaluation, records: Iterable[Record]) -> dict[Draw, list[Record]]:
    """Return records by the draw that they were measured with.

    Where models were given, every draw attacks the same one, whatever the seed.
    """
    given = is_given(evaluation)
    draws: dict[Draw, list[Record]] = {}
    for record in records:
        seed = 0 if given else record.seed
        draws.setdefault((seed, record.attacker), []).append(record)
    return draws


def is_given(evaluation: Evaluation) -> bool:
    """Return whether the models were given, and none was trained for this evaluation."""
    return all(isinstance(training.settings, str) for training in evaluation.trainings)


def competes(record: Record) -> bool:
    """Return whether a trial counts as an attack on the undesirable task."""
    return record.tier != "control" and record.task == "undesirable"


def strongest(records: Iterable[Record]) -> Record | None:
    """Return the trial that the attacker would choose by validation alone; None if all failed.

    Without validation samples (one label per class) it is the first that works.
    """
    judged = (record for record in records if record.accuracy is not None)
    return max(judged, key=lambda record: record.preference, default=None)


def selected(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> dict[Draw, Record]:
    """Return the strongest trial of each draw in a cell."""
    return _find_strongest_of_each(trials(evaluation, method, labels, family))


def _find_strongest_of_each(draws: Mapping[Draw, Sequence[Record]]) -> dict[Draw, Record]:
    chosen = {draw: strongest(records) for draw, records in draws.items()}
    return {draw: record for draw, record in chosen.items() if record is not None}


def accuracies(records: Mapping[Draw, Record]) -> dict[Draw, float]:
    """Return the accuracies of those records that were scored on the whole test set."""
    return {
        draw: record.accuracy for draw, record in records.items() if record.accuracy is not None
    }


def benign(evaluation: Evaluation, method: str, labels: int | None) -> dict[Draw, float]:
    """Return the test accuracy of the strongest trial of each draw on the benign task."""
    cell = (method, labels, "benign")
    records = (one for one in evaluation.records if (one.method, one.labels, one.task) == cell)
    return accuracies(_find_strongest_of_each(by_draw(evaluation, records)))


def failures(evaluation: Evaluation, method: str) -> tuple[int, int]:
    """Return how many trials on a method's models failed, and how many there were."""
    records = [record for record in evaluation.records if record.method == method]
    return sum(record.error is not None for record in records), len(records)
