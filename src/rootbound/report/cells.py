"""Numbers as a table shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from rootbound.metrics import Estimate

Wanted = Literal["low", "high"]


@dataclass(frozen=True)
class Cell:
    """One number of a table: its text, its interval in words, and whether it stands out.

    Args:
        text: the number.
        note: its interval, or what else is to be said, in small print.
        mark: `good` or `bad` news, or `text` for words.
    """

    text: str
    note: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table: a caption that says how to read it, column names, rows of cells."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def in_words(labels: int | None) -> str:
    """Return `10 labels a class` or `all labels`."""
    if labels is None:
        return "all labels"
    return f"{labels} label{'' if labels == 1 else 's'} a class"


def percent(value: Estimate | None) -> Cell:
    """Return an accuracy as `97.7 %`, with its interval."""
    if value is None:
        return Cell("n/a", "every trial failed")
    return Cell(f"{value.mean:.1f} %", interval(value, 1, bounded=True))


def change(value: Estimate | None, digits: int = 2, *, wanted: Wanted = "low") -> Cell:
    """Return a difference as `+0.12`, with its interval, marked where it excludes 0.

    Args:
        value: in points.
        digits: after the point.
        wanted: whether low or high differences are good news.
    """
    if value is None:
        return Cell("n/a")
    bad = (value.mean > 0) == (wanted == "low")
    mark = "" if not value.significant else "bad" if bad else "good"
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return Cell(f"{round(value.mean, digits) + 0.0:+.{digits}f}", interval(value, digits), mark)


def interval(value: Estimate, digits: int, *, bounded: bool = False) -> str:
    """Return `97.1 to 98.3`."""
    if math.isinf(value.low):
        return "one seed"
    low, high = value.low, value.high
    if bounded:
        low, high = max(low, 0.0), min(high, 100.0)
    return f"{low:.{digits}f} to {high:.{digits}f}"


def times(value: float) -> str:
    """Return a multiple as `0.31 x`, `2.2 x`, `1,600 x`."""
    return f"{value:,.0f} x" if value >= 10 else f"{value:.2g} x"
