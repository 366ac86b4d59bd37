"""The content of a report as plain values: title, headline, tables, flags and limits."""

from __future__ import annotations

from dataclasses import dataclass

from rootbound.flags import flags
from rootbound.metrics import measures as metrics
from rootbound.records import Evaluation
from rootbound.report import scores, tables
from rootbound.report.balance import tabulate_balanced
from rootbound.report.cells import Table, mark_unreliable
from rootbound.report.doubts import explain_unreliable
from rootbound.report.flag_groups import FlagGroup, group_flags
from rootbound.report.headline import describe_run
from rootbound.report.limits import list_limits
from rootbound.report.verdicts import first_sentence


@dataclass(frozen=True)
class Summary:
    """The words, tables and flags of a report, in order."""

    title: str
    headline: tuple[str, ...]
    tables: tuple[Table, ...]
    flags: tuple[FlagGroup, ...]
    limits: tuple[str, ...]


def summarise(evaluation: Evaluation) -> Summary:
    """Return the summary of an evaluation, complete or not."""
    desirable, undesirable = evaluation.context["desirable"], evaluation.context["undesirable"]
    good = "" if desirable is None else f"{desirable['name']} against "
    candidates = (
        tables.tabulate_methods(evaluation),
        tables.tabulate_steps(evaluation) if metrics.undefended(evaluation) else None,
        tables.tabulate_advantages(evaluation),
        tables.tabulate_advantages_over_public(evaluation),
        tables.tabulate_accuracies(evaluation),
        tabulate_balanced(evaluation),
        scores.tabulate_resistance(evaluation),
        scores.tabulate_benign(evaluation),
        *scores.tabulate_families(evaluation),
    )
    raised = flags(evaluation)
    doubtful = [name for name in metrics.methods(evaluation) if explain_unreliable(name, raised)]
    return Summary(
        f"rootbound: {good}{undesirable['name']}",
        (first_sentence(evaluation), *describe_run(evaluation)),
        tuple(mark_unreliable(table, doubtful) for table in candidates if table is not None),
        tuple(group_flags(raised)),
        tuple(list_limits(evaluation.context)),
    )
