"""Tables of a report: their cells, the text of numbers in cells, and tables as Markdown."""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from rootbound.metrics import Estimate

ESCAPED = str.maketrans({"|": "\\|"})
"""A bar would end a cell in Markdown."""


@dataclass(frozen=True)
class Cell:
    """One number of a table: its text, its interval in words, and whether it stands out.

    Args:
        text: The number.
        note: Its interval, or another remark, in small print.
        mark: `good` or `bad` for such news, `text` for words, `unreliable` in the first cell of a
            row that means nothing.
        target: Address that the text leads to, if any.
    """

    text: str
    note: str = ""
    mark: str = ""
    target: str = ""


@dataclass(frozen=True)
class Table:
    """A table: a caption that says how to read it, column names, rows of cells."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


UNRELIABLE = "unreliable"
"""Mark of the first cell of an unreliable row, and the text in it."""


def mark_unreliable(table: Table, methods: Collection[str]) -> Table:
    """Return a table in which rows and columns of some methods say that they are unreliable.

    An unreliable number may look good but proves nothing, so such rows show no good news.

    Args:
        table: A table whose rows name a method in their first cell, or whose columns are methods.
        methods: Names of the unreliable methods.
    """

    def sober(cell: Cell) -> Cell:
        return replace(cell, mark="") if cell.mark == "good" else cell

    def marked(row: tuple[Cell, ...]) -> tuple[Cell, ...]:
        if row[0].text not in methods:
            return row
        return replace(row[0], note=UNRELIABLE, mark=UNRELIABLE), *map(sober, row[1:])

    columns = (f"{name} ({UNRELIABLE})" if name in methods else name for name in table.columns)
    return replace(table, columns=tuple(columns), rows=tuple(map(marked, table.rows)))


def capitalise(words: str) -> str:
    """Return words as they stand at the beginning of a sentence."""
    return f"{words[:1].upper()}{words[1:]}"


def in_words(labels: int | None) -> str:
    """Return `10 labels per class` or `all labels`."""
    if labels is None:
        return "all labels"
    return f"{labels} label{'' if labels == 1 else 's'} per class"


def percent(value: Estimate | None) -> Cell:
    """Return an accuracy as `97.7 %`, with its interval."""
    if value is None:
        return Cell("n/a", "every trial failed")
    return Cell(f"{value.mean:.1f} %", interval(value, 1, bounded=True))


def change(
    value: Estimate | None, digits: int = 2, *, wanted: Literal["low", "high"] = "low"
) -> Cell:
    """Return a difference as `+0.12`, with its interval, marked where the interval excludes 0.

    Args:
        value: The difference in points.
        digits: Digits after the point.
        wanted: Whether low or high differences are good news.
    """
    if value is None:
        return Cell("n/a")
    is_bad = (value.mean > 0) == (wanted == "low")
    mark = "" if not value.significant else "bad" if is_bad else "good"
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return Cell(f"{round(value.mean, digits) + 0.0:+.{digits}f}", interval(value, digits), mark)


def in_percent(value: Estimate) -> str:
    """Return an accuracy and its interval in a sentence: `97.7 % (97.1 to 98.3)`."""
    return f"{value.mean:.1f} % ({interval(value, 1, bounded=True)})"


def interval(value: Estimate, digits: int, *, bounded: bool = False) -> str:
    """Return `97.1 to 98.3`; `one value` where there is no interval."""
    if math.isinf(value.low):
        return "one value"
    low, high = value.low, value.high
    if bounded:
        low, high = max(low, 0.0), min(high, 100.0)
    return f"{low:.{digits}f} to {high:.{digits}f}"


def times(value: float) -> str:
    """Return a multiple as `0.31 x`, `2.2 x`, `1,600 x`."""
    return f"{value:,.0f} x" if value >= 10 else f"{value:.2g} x"


def as_words(text: str) -> str:
    """Return a stranger's text on one line, with nothing in it that a page would run or fetch."""
    return html.escape(" ".join(text.split()), quote=False).replace("](", "]&#40;")


def table_to_markdown(table: Table) -> str:
    """Return a table as Markdown."""

    def write(texts: Iterable[str]) -> str:
        return f"| {' | '.join(as_words(text).translate(ESCAPED) for text in texts)} |"

    rows = (
        write(f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in row)
        for row in table.rows
    )
    return "\n".join([write(table.columns), write("---" for _ in table.columns), *rows])
