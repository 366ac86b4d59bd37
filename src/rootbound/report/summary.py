"""What a report says, as plain values: the headline, tables, and the limits of the claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rootbound import metrics
from rootbound.records import Evaluation
from rootbound.report import scores, tables
from rootbound.report.cells import Table
from rootbound.report.headline import headline
from rootbound.report.warnings import warnings


@dataclass(frozen=True)
class Summary:
    """Headline sentences and tables."""

    headline: tuple[str, ...]
    tables: tuple[Table, ...]
    limits: tuple[str, ...]


def summarise(evaluation: Evaluation) -> Summary:
    """Return the summary of an evaluation, complete or not."""
    found = [tables.overview(evaluation)]
    if metrics.undefended(evaluation):
        found.append(tables.steps(evaluation))
    found += [tables.advantages(evaluation), tables.accuracies(evaluation)]
    further = (
        warnings(evaluation),
        scores.resistance(evaluation),
        scores.harmless(evaluation),
        scores.families(evaluation),
    )
    found += [table for table in further if table is not None]
    return Summary(tuple(headline(evaluation)), tuple(found), tuple(_limits(evaluation)))


def _drawn(context: Mapping[str, Any]) -> str:
    """Return how many models, and attackers of each, there were."""
    models = f"{context['seeds']} seed{'s' if context['seeds'] > 1 else ''}"
    attackers = context["rules"]["attackers"]
    return f"{models}, {attackers} attackers each," if attackers else models


def _limits(evaluation: Evaluation) -> list[str]:
    context = evaluation.context
    known = context["defender_undesirable_samples"] is not None
    return [
        "Weights can always be thrown away: what can be shown is the advantage over scratch, "
        "not that the undesirable task cannot be learned.",
        f"Shown is what the attacks of suite {context['suite']} reach within its budgets; a "
        "stronger or a defence-aware attacker may reach more.",
        "The exact last layer is the global optimum of its training loss for each penalty "
        "(duality gap in the record); the penalty is chosen on the attacker's validation samples. "
        "It says nothing of attackers who retrain more.",
        f"{_drawn(context)} on one {'pair of tasks' if known else 'task'} and one architecture"
        + ("; the defender knew samples of every undesirable class" if known else "")
        + ". Intervals cover these seeds, not other data.",
        _held(context["shared_undesirable"]),
    ]


def _held(shared: bool | None) -> str:
    if shared is None:
        return "Which undesirable samples the defender held is not known."
    same = "the same" if shared else "disjoint halves of the training set"
    return f"The defender's and the attacker's undesirable samples are {same}."
