"""The summary as Markdown."""

from __future__ import annotations

import html

from rootbound.report.cells import Cell, Table
from rootbound.report.summary import Summary


def to_markdown(summary: Summary, title: str) -> str:
    """Return the summary as a Markdown document."""
    parts = [f"# {as_words(title)}", *map(as_words, summary.headline)]
    for table in summary.tables:
        parts += [f"## {table.title}", as_words(table.caption), table_to_markdown(table)]
    parts += ["## Limits of the claim"]
    parts += ["\n".join(f"- {as_words(limit)}" for limit in summary.limits)]
    return "\n\n".join(parts) + "\n"


def as_words(text: str) -> str:
    """Return a text of somebody else's on one line, with nothing that a page would run or fetch."""
    return html.escape(" ".join(text.split()), quote=False).replace("](", "]&#40;")


def table_to_markdown(table: Table) -> str:
    """Return one table as Markdown."""
    lines = [_row([_text(column) for column in table.columns]), _row(["---"] * len(table.columns))]
    return "\n".join([*lines, *(_row([_cell(cell) for cell in row]) for row in table.rows)])


def _cell(cell: Cell) -> str:
    return _text(f"{cell.text} ({cell.note})" if cell.note else cell.text)


def _text(text: str) -> str:
    return as_words(text).replace("|", "\\|")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
