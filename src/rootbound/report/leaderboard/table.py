"""The leaderboard's rows as a table, and as plain values for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rootbound import metrics
from rootbound.flags.network import NETWORK_FLAGS
from rootbound.metrics import Estimate
from rootbound.metrics.standings import Multiple
from rootbound.report.cells import Cell, Table, change, in_words, percent, times
from rootbound.report.leaderboard.entries import DISQUALIFYING, Entry

COLUMNS = (
    "method", "status", "worst advantage", "by", "desirable change", "exact last layer", "steps",
    "labels", "benign change", "training", "flags",
)  # fmt: skip

SHOWN = {flag.name for flag in NETWORK_FLAGS} | set(DISQUALIFYING)
"""Flags that tell methods apart; those about the attack are raised for nearly all of them."""


def table(entries: Sequence[Entry], suite: str) -> Table:
    """Return the rows as a table."""
    exact = any(entry.standing.exact is not None for entry in entries)
    return Table(
        "Methods",
        f"Attacked by suite {suite}. Worst advantage: the strongest attack's accuracy minus that "
        "on random weights with the same labels, in points, in the cell where it is largest, "
        "with 95 % interval; below or at zero the weights are worth nothing to this attacker. "
        "Steps and labels: what catching up with scratch takes, as a multiple of scratch's "
        "(median, censored). Status: standard, measured by the suite; external, somebody's attack "
        "got more; unreliable, a flag says that a low number means nothing. Flags: those that "
        "name a trick of the network, or make the row unreliable; the report has all of them.",
        COLUMNS,
        tuple(_row(entry, exact=exact) for entry in entries),
    )


def _row(entry: Entry, *, exact: bool) -> tuple[Cell, ...]:
    one = entry.standing
    return (
        Cell(one.method),
        Cell(entry.status, mark="text"),
        *_worst(entry),
        change(one.change, wanted="high") if one.change is not None else Cell("–"),
        percent(one.exact) if exact else Cell("–"),
        _multiple(one.steps),
        _multiple(one.labels),
        change(one.benign, wanted="high") if one.benign is not None else Cell("–"),
        Cell("–" if one.cost is None else times(one.cost)),
        Cell(", ".join(flag for flag in entry.flags if flag in SHOWN) or "none", mark="text"),
    )


def _worst(entry: Entry) -> tuple[Cell, Cell]:
    if entry.challenge is not None:
        value = Cell(f"{entry.challenge.advantage:+.2f}", "external", "bad")
        return value, Cell(entry.challenge.attack, entry.challenge.link, "text")
    worst = entry.standing.worst
    if worst is None:
        return Cell("n/a"), Cell("–", mark="text")
    return change(worst.advantage), Cell(worst.attack, in_words(worst.labels), "text")


def _multiple(found: Sequence[Multiple]) -> Cell:
    if not found:
        return Cell("n/a")
    median = metrics.kaplan_meier_median(found)
    return Cell("not reached", mark="good") if median is None else Cell(times(median))


def plain(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the rows as values that JSON can hold."""
    return [_plain(entry) for entry in entries]


def _plain(entry: Entry) -> dict[str, Any]:
    one = entry.standing
    worst: dict[str, Any] | None = None
    if one.worst is not None:
        worst = {
            **_estimate(one.worst.advantage),
            "labels": one.worst.labels,
            "attack": one.worst.attack,
        }
    return {
        "method": one.method,
        "settings": str(one.settings),
        "status": entry.status,
        "desirable": _known(one.desirable),
        "desirable_change": _known(one.change),
        "exact_last_layer": _known(one.exact),
        "worst_advantage": worst,
        "external": vars(entry.challenge) if entry.challenge is not None else None,
        "steps_multiple": metrics.kaplan_meier_median(one.steps) if one.steps else None,
        "labels_multiple": metrics.kaplan_meier_median(one.labels) if one.labels else None,
        "benign_change": _known(one.benign),
        "training_multiple": one.cost,
        "flags": list(entry.flags),
    }


def _known(value: Estimate | None) -> dict[str, Any] | None:
    return None if value is None else _estimate(value)


def _estimate(value: Estimate) -> dict[str, Any]:
    single = value.seeds == 1
    return {
        "mean": round(value.mean, 4),
        "low": None if single else round(value.low, 4),
        "high": None if single else round(value.high, 4),
        "draws": value.seeds,
    }
