"""The leaderboard's files: one HTML page, Markdown and JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from markupsafe import Markup

from rootbound.core.files import write_atomically
from rootbound.records import Evaluation
from rootbound.report.cells import as_words, table_to_markdown
from rootbound.report.leaderboard.claims import Challenge, Claim, papers
from rootbound.report.leaderboard.entries import Entry, entries
from rootbound.report.leaderboard.frontier import frontier
from rootbound.report.leaderboard.table import plain, table
from rootbound.report.page import environment
from rootbound.report.settings import settings
from rootbound.report.theme import for_page, styled, to_svg

CAPTION = (
    "Each method's loss of desirable accuracy against what its weights are still worth to the "
    "strongest attacker; 95 % intervals where there is more than one seed. Low and to the left "
    "is good; at or below the line the weights are worth no more than random ones."
)
CHALLENGE = (
    "Every number comes from records.json.gz beside this page. An attack that gets more is "
    "welcome: write it as a rootbound.attacks.Attack, add it with Method.adaptive_attacks or in a "
    "suite of your own, and send the records; or have the result listed by its link (--external)."
)


def write_leaderboard(
    folder: Path | str, challenges: Sequence[Challenge] = (), *, command: str = ""
) -> Path:
    """Make the leaderboard of a run folder from its records; return the page's path.

    Writes `leaderboard.html`, `leaderboard.md`, `leaderboard.json` and `figures/frontier.svg`.

    Args:
        folder: The run folder, with `records.json.gz`.
        challenges: what others got out of the methods' weights.
        command: that made the run, to be shown.

    Raises:
        InputError: records are missing or damaged, or the folder is read-only.
    """
    folder = Path(folder)
    evaluation = Evaluation.load(folder)
    rows = entries(evaluation, challenges)
    named = {entry.kind for entry in rows}
    claims = [claim for claim in papers() if claim.method in named]
    svg = _drawn(rows)
    if svg:
        write_atomically(folder / "figures" / "frontier.svg", svg)
    context = {"command": command, **_context(evaluation)}
    content = {**context, "methods": plain(rows), "reported": [vars(one) for one in claims]}
    write_atomically(
        folder / "leaderboard.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    )
    write_atomically(folder / "leaderboard.md", _markdown(evaluation, rows, claims, command))
    write_atomically(folder / "leaderboard.html", _html(evaluation, rows, claims, svg, command))
    return folder / "leaderboard.html"


def _context(evaluation: Evaluation) -> dict[str, object]:
    kept = ("run", "suite", "suite_digest", "seeds", "machine", "date", "versions")
    return {name: evaluation.context.get(name) for name in kept} | {"complete": evaluation.complete}


def _title(evaluation: Evaluation) -> str:
    context = evaluation.context
    return (
        f"rootbound leaderboard: {context['desirable']['name']}, "
        f"resisting {context['undesirable']['name']}"
    )


def _drawn(rows: Sequence[Entry]) -> str:
    with styled():
        figure = frontier(rows)
        if figure is None:
            return ""
        svg = to_svg(figure)
        plt.close(figure)
    return svg


def _markdown(
    evaluation: Evaluation, rows: Sequence[Entry], claims: Sequence[Claim], command: str
) -> str:
    found = table(rows, evaluation.context["suite"])
    called = f"<code>{as_words(command)}</code>" if command else ""
    parts = [f"# {as_words(_title(evaluation))}", called, as_words(found.caption)]
    parts += [table_to_markdown(found), CHALLENGE]
    parts += [f"- {one.method}, reported: {one.claim} ({one.source})" for one in claims]
    return "\n\n".join(part for part in parts if part) + "\n"


def _html(
    evaluation: Evaluation, rows: Sequence[Entry], claims: Sequence[Claim], svg: str, command: str
) -> str:
    loaded = environment()
    assert loaded.loader is not None
    script = loaded.loader.get_source(loaded, "sort.js")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return loaded.get_template("leaderboard.html.j2").render(
        title=_title(evaluation),
        complete=evaluation.complete,
        table=table(rows, evaluation.context["suite"]),
        frontier=Markup(for_page(svg, "frontier", "What resistance costs")) if svg else "",
        caption=CAPTION,
        challenge=CHALLENGE,
        claims=claims,
        settings=settings(evaluation),
        trained=[entry.standing for entry in rows],
        command=command,
        # Nothing but this one script may run, whatever a record's text says.
        script=Markup(script),
        script_digest=digest,
    )
