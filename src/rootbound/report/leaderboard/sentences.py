"""What a leaderboard shows, in a sentence: which method leaves attackers least, at what price."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rootbound.report.cases import GENERIC, describe_price, signed
from rootbound.report.head_start import LARGE
from rootbound.report.leaderboard.entries import Entry

CHEAP = 1.0
"""Points of desirable accuracy below which a price is low."""


def describe_best(rows: Sequence[Entry]) -> str:
    """Return which reliable method leaves attackers least, and what that costs."""
    methods = list_methods(rows)
    reliable = [row for row in methods if not row.is_doubtful and row.worst is not None]
    if not reliable:
        return "No method has a reliable number."
    best = min(reliable, key=lambda row: math.inf if row.worst is None else row.worst)
    worst, change = best.standing.worst, best.standing.change
    interval = ""
    if worst is not None and best.challenge is None and math.isfinite(worst.advantage.low):
        low, high = (round(end, 1) + 0.0 for end in (worst.advantage.low, worst.advantage.high))
        interval = f" ({low:.1f} to {high:.1f})"
    said = (
        f"{best.standing.method} leaves attackers least: {signed(best.worst or 0.0)} points over "
        f"scratch where they gain most{interval}"
    )
    if change is not None:
        said += f"; {describe_price(-change.mean)}"
    for plain in rows:
        if plain.standing.change is None and plain.worst is not None and plain is not best:
            said += f"; {plain.standing.method}, undefended, leaves {signed(plain.worst)}"
    return f"{said}."


def describe_frontier(rows: Sequence[Entry]) -> str:
    """Return how many methods leave little, how many of them are cheap, and how many unreliable.

    A single method is not counted; then the title says what it leaves, and at what price.
    """
    methods = list_methods(rows)
    reliable = [row for row in methods if not row.is_doubtful and row.worst is not None]
    if len(methods) == len(reliable) == 1:
        (row,) = methods
        price = "" if row.standing.change is None else f"; {describe_price(row.loss)}"
        gain = signed(row.worst or 0.0)
        return f"Attackers of {row.standing.method} gain {gain} points over scratch at most{price}"
    little = [row for row in reliable if row.worst is not None and row.worst < LARGE]
    cheap = [row for row in little if row.standing.change is None or row.loss < CHEAP]
    said = (
        f"With {len(little)} of {len(methods)} methods attackers gain less than {LARGE:g} points "
        f"over scratch; {_count_cheap(len(cheap), len(little))}"
    )
    lost = len(methods) - len(reliable)
    are = "is" if lost == 1 else "are"
    return f"{said}; {lost} {are} unreliable" if lost else said


def _count_cheap(cheap: int, all_of_them: int) -> str:
    """Return how many of the methods that leave little cost less than `CHEAP`."""
    if all_of_them == 1:
        return f"it costs {'less than' if cheap else 'at least'} {CHEAP:g} point"
    if cheap == all_of_them > 1:
        return f"all of them cost less than {CHEAP:g} point"
    return f"{cheap} of them cost{'s' if cheap == 1 else ''} less than {CHEAP:g} point"


def list_methods(rows: Sequence[Entry]) -> list[Entry]:
    """Return the rows that compete: neither the undefended model nor the control."""
    defended = [row for row in rows if row.standing.change is not None and row.kind != GENERIC]
    return defended or [row for row in rows if row.kind != GENERIC]
