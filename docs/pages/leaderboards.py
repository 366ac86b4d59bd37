"""The page of the leaderboard: what came out, the frontier, and a table of all splits."""

from __future__ import annotations

from pathlib import Path

from docs.pages.gathered import GATHERED, Values, to_table, write_interval, write_price

BEST = ("split", "undefended", "least", "from", "price")
TEXT = Path(__file__).with_name("leaderboards.md").read_text("utf-8")


def make_page() -> str:
    """Return the page."""
    splits = GATHERED["splits"]
    rows = [{row["method"]: row for row in split["rows"]} for split in splits]
    # The order is that of the first split; methods that only others have follow.
    methods = list(dict.fromkeys(method for split in rows for method in split))
    table = to_table(
        ("method", *(split["title"] for split in splits)),
        [
            (_write_method(method), *(_write_cell(split.get(method)) for split in rows))
            for method in methods
        ],
    )
    first, *others = map(_write_frontier, splits)
    parts = {
        "best": to_table(BEST, map(_find_best, splits)),
        "first": first,
        "table": table,
        "others": "\n\n".join(others),
    }
    text = TEXT
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part)
    return text


def _find_best(split: Values) -> tuple[str, ...]:
    """Return from which reliable method attackers gain least, and what they gain undefended."""
    rows = [row for row in split["rows"] if row["class"] != "GenericFeatures"]
    plain = next(row for row in rows if row["desirable_change"] is None)
    reliable = [row for row in rows if row["status"] != "unreliable" and row is not plain]
    best = min(reliable, key=lambda row: float(row["worst_advantage"]["mean"]))
    worst, usual = best["worst_advantage"], plain["worst_advantage"]["mean"]
    return (
        split["title"],
        f"{usual:+.1f}",
        write_interval(worst),
        f"`{best['method']}`",
        write_price(best),
    )


def _write_cell(row: Values | None) -> str:
    """Return worst advantage and price, and the interval in small print."""
    if row is None:
        return "–"
    worst, lines = row["worst_advantage"], []
    price = "" if row["desirable_change"] is None else f" for {write_price(row)}"
    lines.append(f"{worst['mean']:+.1f}{price}")
    if worst["low"] is not None:
        lines.append(f"<small>{worst['low']:.1f} to {worst['high']:.1f}</small>")
    if row["status"] == "unreliable":
        lines.append("<small>unreliable</small>")
    return "<br>".join(lines)


def _write_method(name: str) -> str:
    """Return the name of a method, its settings below it."""
    kind, bracket, settings = name.partition("(")
    return f"{kind}<br><small>{bracket}{settings}</small>" if bracket else kind


def _write_frontier(split: Values) -> str:
    seeds = f"{split['seeds']} seed{'s' * (split['seeds'] != 1)}"
    return (
        f"### {split['title']}\n\n`{split['suite']}`, {seeds}; records in "
        f"`benchmarks/results/{split['folder']}/`.\n\n"
        f'<picture><source media="(max-width: 700px)" srcset="images/{split["figure"]}-narrow.svg">'
        f'<img src="images/{split["figure"]}.svg" alt="What each method costs, and what it '
        f'leaves to attackers; {split["title"]}"></picture>'
    )
