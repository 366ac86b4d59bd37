"""The summary as Markdown."""

from __future__ import annotations

from rootbound.report.cells import Cell, Table
from rootbound.report.summary import Summary


def to_markdown(summary: Summary, title: str) -> str:
    """Return the summary as a Markdown document."""
    parts = [f"# {title}", *summary.headline]
    for table in summary.tables:
        parts += [f"## {table.title}", table.caption, table_to_markdown(table)]
    parts += ["## Limits of the claim", "\n".join(f"- {limit}" for limit in summary.limits)]
    return "\n\n".join(parts) + "\n"


def table_to_markdown(table: Table) -> str:
    """Return one table as Markdown."""
    lines = [_row(list(table.columns)), _row(["---"] * len(table.columns))]
    return "\n".join([*lines, *(_row([_cell(cell) for cell in row]) for row in table.rows)])


def _cell(cell: Cell) -> str:
    text = f"{cell.text} ({cell.note})" if cell.note else cell.text
    return text.replace("|", "\\|")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
