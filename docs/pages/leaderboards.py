"""The page of the leaderboard: a table of all splits, then the frontier of each."""

from __future__ import annotations

from pathlib import Path

from docs.pages.gathered import GATHERED, Values, cost, interval, to_table

TEXT = Path(__file__).with_name("leaderboards.md").read_text("utf-8")


def page() -> str:
    """Return the page."""
    splits = GATHERED["splits"]
    rows = [{row["method"]: row for row in split["rows"]} for split in splits]
    # As in the first split, and after them what only others have.
    methods = list(dict.fromkeys(method for split in rows for method in split))
    table = to_table(
        ("method", *(split["title"] for split in splits)),
        [(f"`{method}`", *(_cell(split.get(method)) for split in rows)) for method in methods],
    )
    frontiers = "\n\n".join(map(_frontier, splits))
    return TEXT.replace("{{table}}", table).replace("{{frontiers}}", frontiers)


def _cell(row: Values | None) -> str:
    """Return worst advantage and cost; of an unreliable row in small print, and said so."""
    if row is None:
        return "–"
    said = interval(row["worst_advantage"])
    if row["desirable_change"] is not None:
        said += f" for {cost(row)}"
    return f"<small>{said}, unreliable</small>" if row["status"] == "unreliable" else said


def _frontier(split: Values) -> str:
    seeds = f"{split['seeds']} seed{'s' * (split['seeds'] != 1)}"
    return (
        f"### {split['title']}\n\n`{split['suite']}`, {seeds}; records in "
        f"`benchmarks/results/{split['folder']}/`.\n\n"
        f"![What each method costs, and what it leaves to attackers](images/{split['figure']}.svg)"
    )
