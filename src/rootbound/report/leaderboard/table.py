"""The leaderboard's rows as a table for people, and as plain values for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rootbound.flags.network import NETWORK_FLAGS
from rootbound.metrics import Estimate
from rootbound.metrics import measures as metrics
from rootbound.metrics.standings import Multiple, Worst
from rootbound.records import EXACT, Evaluation
from rootbound.report.attack_names import describe_attack
from rootbound.report.cells import (
    Cell,
    Table,
    change,
    in_percent,
    in_words,
    mark_unreliable,
    percent,
    times,
)
from rootbound.report.doubts import DISQUALIFYING
from rootbound.report.leaderboard.entries import Entry

COLUMNS = (
    "method", "head start", "worst advantage", "by", "desirable change", "exact last layer",
    "steps", "labels", "benign change", "training", "flags",
)  # fmt: skip

NOWHERE: Mapping[str, str] = MappingProxyType({})
"""No sections."""
OVER_PUBLIC = (
    "Over public: the same minus the accuracy from the public model, for the number of labels with "
    "which that is largest. "
)
SHOWN = {flag.name for flag in NETWORK_FLAGS} | set(DISQUALIFYING)
"""Flags that tell methods apart; those about an attack are raised for nearly all of them."""


def tabulate_entries(
    entries: Sequence[Entry], suite: str, sections: Mapping[str, str] = NOWHERE, fresh: str = ""
) -> Table:
    """Return the rows as a table.

    Args:
        entries: The rows.
        suite: Name of the suite.
        sections: Where a reader finds more of each method, if there is more.
        fresh: What a new last layer reaches on random weights, in a sentence.
    """
    exact = any(entry.standing.exact is not None for entry in entries)
    public = any(entry.standing.over_public is not None for entry in entries)
    shown = Table(
        "Methods",
        f"Attacked by suite {suite}. Worst advantage: the strongest attack's accuracy minus that "
        "on random weights with the same labels, in points, with 95 % interval; it is shown for "
        "the number of labels with which it is largest. At or below zero the weights are worth "
        "nothing to this attacker. "
        f"{OVER_PUBLIC if public else ''}{fresh}"
        "Steps and labels: how many times scratch's own it takes to catch up with scratch (median "
        "by Kaplan and Meier, since some attackers never do). External: another attack got more "
        "than the suite. Unreliable: a flag says that a low number means nothing. Flags: those "
        "that name a trick of the network, or make the row unreliable; the report has all of them.",
        (*COLUMNS[:4], "over public", *COLUMNS[4:]) if public else COLUMNS,
        tuple(
            _make_row(entry, sections.get(entry.standing.method, ""), exact=exact, public=public)
            for entry in entries
        ),
    )
    doubtful = [entry.standing.method for entry in entries if entry.is_doubtful]
    return mark_unreliable(shown, doubtful)


def describe_exact_on_scratch(evaluation: Evaluation) -> str:
    """Return a sentence on a new last layer on random weights; empty if it was not tried."""
    if not (budgets := metrics.budgets(evaluation)):
        return ""
    reached = metrics.points(metrics.attacked(evaluation, "scratch", budgets[-1], EXACT))
    if reached is None:
        return ""
    return (
        f"Exact last layer: what a new last layer reaches, solved exactly, with "
        f"{in_words(budgets[-1])}; on random weights it is {in_percent(reached)}. "
    )


def _make_row(entry: Entry, target: str, *, exact: bool, public: bool) -> tuple[Cell, ...]:
    standing = entry.standing
    over_public = standing.over_public
    added = Cell("n/a") if over_public is None else change(over_public.advantage)
    return (
        Cell(standing.method, "external" if entry.challenge else "", target=target),
        Cell(entry.word, mark="text"),
        *_show_worst(entry),
        *([added] if public else []),
        change(standing.change, wanted="high") if standing.change is not None else Cell("–"),
        percent(standing.exact) if exact else Cell("–"),
        _show_multiple(standing.steps),
        _show_multiple(standing.labels),
        change(standing.benign, wanted="high") if standing.benign is not None else Cell("–"),
        Cell("–" if standing.cost is None else times(standing.cost)),
        Cell(", ".join(flag for flag in entry.flags if flag in SHOWN) or "none", mark="text"),
    )


def _show_worst(entry: Entry) -> tuple[Cell, Cell]:
    if entry.challenge is not None:
        value = Cell(f"{entry.challenge.advantage:+.2f}", "external", "bad")
        return value, Cell(entry.challenge.attack, entry.challenge.link, "text")
    worst = entry.standing.worst
    if worst is None:
        return Cell("n/a"), Cell("–", mark="text")
    return change(worst.advantage), Cell(
        describe_attack(worst.attack, entry.kind), in_words(worst.labels), "text"
    )


def _show_multiple(multiples: Sequence[Multiple]) -> Cell:
    if not multiples:
        return Cell("n/a")
    median = _find_median(multiples)
    return Cell("not reached", mark="good") if median is None else Cell(times(median))


def _find_median(multiples: Sequence[Multiple]) -> float | None:
    return metrics.kaplan_meier_median(multiples) if multiples else None


def to_values(entry: Entry) -> dict[str, Any]:
    """Return a row as values that JSON can hold."""
    standing = entry.standing
    return {
        "method": standing.method,
        "settings": str(standing.settings),
        "status": entry.status,
        "desirable": _estimate_to_values(standing.desirable),
        "desirable_change": _estimate_to_values(standing.change),
        "exact_last_layer": _estimate_to_values(standing.exact),
        "worst_advantage": _worst_to_values(standing.worst),
        "worst_over_public": _worst_to_values(standing.over_public),
        "external": vars(entry.challenge) if entry.challenge is not None else None,
        "steps_multiple": _find_median(standing.steps),
        "labels_multiple": _find_median(standing.labels),
        "benign_change": _estimate_to_values(standing.benign),
        "training_multiple": standing.cost,
        "flags": list(entry.flags),
    }


def _worst_to_values(worst: Worst | None) -> dict[str, Any] | None:
    if worst is None:
        return None
    return {
        **(_estimate_to_values(worst.advantage) or {}),
        "labels": worst.labels,
        "attack": worst.attack,
    }


def _estimate_to_values(value: Estimate | None) -> dict[str, Any] | None:
    if value is None:
        return None
    # One draw has no interval, which JSON could not hold either.
    ends = (None, None) if value.seeds == 1 else (round(value.low, 4), round(value.high, 4))
    return {"mean": round(value.mean, 4), "low": ends[0], "high": ends[1], "draws": value.seeds}
