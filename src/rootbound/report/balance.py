"""Balanced accuracy beside accuracy, where classes differ much in size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rootbound.metrics import measures as metrics
from rootbound.records import Evaluation
from rootbound.report.cells import Cell, Table, in_percent, in_words, percent

IMBALANCED = 2.0
"""How many times as many test samples as the rarest class the most frequent one may have."""


def is_imbalanced(task: Mapping[str, Any] | None) -> bool:
    """Return whether classes differ much in size; False where an older record does not say."""
    return (
        task is not None
        and task.get("minority") is not None
        and float(task["majority"]) > IMBALANCED * float(task["minority"])
    )


def imbalance_in_words(task: Mapping[str, Any]) -> str:
    """Return how much classes differ in size, and what always naming the largest one reaches."""
    return (
        f"the most frequent class is {100 * task['majority']:.1f} % of the test samples, the "
        f"rarest {100 * task['minority']:.2g} %; always naming the most frequent one is "
        f"{chance(task)} right where every class counts the same"
    )


def chance(task: Mapping[str, Any]) -> str:
    """Return the balanced accuracy of always naming one class."""
    return f"{100 / len(task['classes']):.1f} %"


def describe_balanced(evaluation: Evaluation, method: str) -> list[str]:
    """Return sentences on what accuracy hides; none if classes have much the same size."""
    task = evaluation.context["undesirable"]
    if not is_imbalanced(task):
        return []
    sentences = [f"In {task['name']}, {imbalance_in_words(task)}."]
    for labels in metrics.budgets(evaluation):
        own, fresh = (
            metrics.points(metrics.balanced(evaluation, name, labels))
            for name in (method, "scratch")
        )
        if own is not None and fresh is not None:
            sentences.append(
                f"In balanced accuracy, the attacker with {in_words(labels)} reaches "
                f"{in_percent(own)} from these weights and {in_percent(fresh)} from random ones."
            )
    return sentences


def tabulate_balanced(evaluation: Evaluation) -> Table | None:
    """Return the table of accuracy beside balanced accuracy; None where it would say the same."""
    context = evaluation.context
    tasks = [task for task in (context["desirable"], context["undesirable"]) if is_imbalanced(task)]
    if not tasks:
        return None
    rows = tuple(
        _make_row(evaluation, method, labels)
        for method in metrics.methods(evaluation)
        for labels in metrics.budgets(evaluation)
    )
    sizes = " ".join(f"In {task['name']}, {imbalance_in_words(task)}." for task in tasks)
    return Table(
        "Balanced accuracy",
        f"{sizes} Balanced accuracy is the mean over classes of the share that is right. "
        "The attacker's is that of the strongest attack, which is always chosen by accuracy.",
        (
            "method", "labels", "desirable accuracy", "balanced", "strongest attack", "balanced",
        ),
        rows,
    )  # fmt: skip


def _make_row(evaluation: Evaluation, method: str, labels: int | None) -> tuple[Cell, ...]:
    own = metrics.desirable(evaluation, method)
    attacked = metrics.attacked(evaluation, method, labels)
    pairs = (
        (own, own), (own, metrics.balanced_desirable(evaluation, method)),
        (attacked, attacked), (attacked, metrics.balanced(evaluation, method, labels)),
    )  # fmt: skip
    cells = (_make_cell(values) if known else Cell("–") for known, values in pairs)
    return Cell(method), Cell(in_words(labels)), *cells


def _make_cell(values: Mapping[tuple[int, int], float]) -> Cell:
    return percent(metrics.points(dict(values))) if values else Cell("not recorded")
