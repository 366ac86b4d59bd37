"""What `benchmarks/claims/leaderboards.py` gathered, and how its numbers are written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Values = dict[str, Any]
GATHERED: Values = json.loads(Path("benchmarks/results/leaderboards.json").read_text("utf-8"))


def write_interval(value: Values | None) -> str:
    """Return an estimate in points, with its interval where it has one."""
    if value is None:
        return "–"
    ends = "" if value["low"] is None else f" ({value['low']:.1f} to {value['high']:.1f})"
    return f"{value['mean']:+.1f}{ends}"


def write_price(row: Values) -> str:
    """Return the desirable accuracy that a row loses, in points."""
    change = row["desirable_change"]
    return "–" if change is None else f"{0.0 - round(change['mean'], 2):.2f}"


def write_labels(labels: int | None) -> str:
    """Return how many labels per class."""
    return "all labels" if labels is None else f"{labels} label{'s' * (labels != 1)} per class"


def to_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
