"""What a report says, as plain values: title, headline, tables, and the limits of the claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rootbound import metrics
from rootbound.records import Evaluation
from rootbound.report import scores, tables
from rootbound.report.balance import balanced_accuracies
from rootbound.report.cells import Table
from rootbound.report.headline import headline
from rootbound.report.public import ONE_PUBLIC


@dataclass(frozen=True)
class Summary:
    """The words and tables of a report, in order."""

    title: str
    headline: tuple[str, ...]
    tables: tuple[Table, ...]
    limits: tuple[str, ...]


def summarise(evaluation: Evaluation) -> Summary:
    """Return the summary of an evaluation, complete or not."""
    desirable, undesirable = evaluation.context["desirable"], evaluation.context["undesirable"]
    good = "" if desirable is None else f"{desirable['name']} against "
    candidates = (
        tables.overview(evaluation),
        tables.steps(evaluation) if metrics.undefended(evaluation) else None,
        tables.advantages(evaluation),
        tables.advantages_over_public(evaluation),
        tables.accuracies(evaluation),
        balanced_accuracies(evaluation),
        tables.warnings(evaluation),
        scores.resistance(evaluation),
        scores.benign(evaluation),
        scores.families(evaluation),
    )
    return Summary(
        f"rootbound: {good}{undesirable['name']}",
        tuple(headline(evaluation)),
        tuple(table for table in candidates if table is not None),
        tuple(_limits(evaluation.context)),
    )


def _limits(context: Mapping[str, Any]) -> list[str]:
    is_known = context["defender_undesirable_samples"] is not None
    seeds = f"{context['seeds']} seed{'s' if context['seeds'] > 1 else ''}"
    if attackers := context["rules"]["attackers"]:
        seeds += f", {attackers} attackers each,"
    shared = context["shared_undesirable"]
    halves = "the same" if shared else "disjoint halves of the training set"
    return [
        "Weights can always be thrown away: what can be shown is the advantage over scratch, "
        "not that the undesirable task cannot be learned.",
        *([ONE_PUBLIC] if "public" in context else []),
        f"Shown is what the attacks of suite {context['suite']} reach within its budgets; a "
        "stronger or a defence-aware attacker may reach more.",
        "The exact last layer is the global optimum of its training loss for each penalty "
        "(duality gap in the record); the penalty is chosen on the attacker's validation samples. "
        "It says nothing of attackers who retrain more.",
        f"{seeds} on one {'pair of tasks' if is_known else 'task'} and one architecture"
        + ("; the defender knew samples of every undesirable class" if is_known else "")
        + ". Intervals cover these seeds, not other data.",
        "Which undesirable samples the defender held is not known."
        if shared is None
        else f"The defender's and the attacker's undesirable samples are {halves}.",
    ]
