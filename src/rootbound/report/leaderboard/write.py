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
from rootbound.report.each_method import describe_each, find_section
from rootbound.report.first_screen import describe_measured
from rootbound.report.leaderboard.claims import Challenge, read_claims
from rootbound.report.leaderboard.entries import Entry, gather_entries
from rootbound.report.leaderboard.frontier import NARROW, WIDE, draw_frontier
from rootbound.report.leaderboard.sentences import describe_best, describe_frontier
from rootbound.report.leaderboard.table import (
    describe_exact_on_scratch,
    tabulate_entries,
    to_values,
)
from rootbound.report.page import Figure, load_templates
from rootbound.report.settings import describe_settings, suite_in_words
from rootbound.report.theme import styled, to_svg
from rootbound.report.views import find_panels

CONTEXT = ("run", "suite", "suite_digest", "seeds", "machine", "date", "versions")
"""Values of a run's context that `leaderboard.json` repeats."""
CAPTION = (
    "Each method's loss of desirable accuracy against what its weights are still worth to the "
    "strongest attacker; 95 % intervals where there is more than one seed. Low and to the left "
    "is good; at or below the line the weights are worth no more than random ones. Hollow points "
    "are unreliable: there a low number means nothing."
)
REPORT = "report.html"
"""Page in the same folder with a section for each model."""
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
        folder: Folder of a run.
        challenges: External attacks on the methods' weights.
        command: Command that made the run, to be shown.

    Raises:
        InputError: Records are missing or damaged, or the folder cannot be written.
    """
    folder = Path(folder)
    evaluation = Evaluation.load(folder)
    context = evaluation.context
    rows = gather_entries(evaluation, challenges)
    kinds = {entry.kind for entry in rows}
    claims = [claim for claim in read_claims() if claim.method in kinds]
    if picture := _draw(rows):
        write_atomically(folder / "figures" / "frontier.svg", picture.svg)
    values = {
        "command": command,
        **{name: context.get(name) for name in CONTEXT},
        "complete": evaluation.complete,
        "methods": [to_values(entry) for entry in rows],
        "reported": [vars(claim) for claim in claims],
    }
    title = (
        f"rootbound leaderboard: {context['desirable']['name']} "
        f"against {context['undesirable']['name']}"
    )
    sentence = describe_best(rows)
    sections = {}
    if (folder / REPORT).is_file() and describe_each(evaluation):
        methods = [entry.standing.method for entry in rows]
        sections = {name: f"{REPORT}#{find_section(evaluation, name)}" for name in methods}
    shown = tabulate_entries(
        rows, suite_in_words(context), sections, describe_exact_on_scratch(evaluation)
    )
    write_atomically(
        folder / "leaderboard.json", json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    )
    parts = [
        f"# {as_words(title)}",
        f"<code>{as_words(command)}</code>" if command else "",
        f"**{as_words(sentence)}**",
        as_words(shown.caption),
        table_to_markdown(shown),
        CHALLENGE,
        *(f"- {claim.method}, reported: {claim.claim} ({claim.source})" for claim in claims),
    ]
    write_atomically(folder / "leaderboard.md", "\n\n".join(part for part in parts if part) + "\n")
    templates = load_templates()
    assert templates.loader is not None
    # Nothing but this one script may run, whatever the text of a record says.
    script = templates.loader.get_source(templates, "sort.js")[0]
    page = templates.get_template("leaderboard.html.j2").render(
        title=title,
        complete=evaluation.complete,
        table=shown,
        sentence=sentence,
        measured=describe_measured(evaluation),
        frontier=picture,
        has_sections=bool(sections),
        challenge=CHALLENGE,
        claims=claims,
        settings=describe_settings(evaluation),
        trained=[entry.standing for entry in rows],
        command=command,
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_atomically(folder / "leaderboard.html", page)
    return folder / "leaderboard.html"


def _draw(rows: Sequence[Entry]) -> Figure | None:
    """Return the frontier; None if there are no numbers."""
    drawn = []
    with styled():
        for size in (WIDE, NARROW):
            plot = draw_frontier(rows, size)
            if plot is None:
                return None
            drawn.append((to_svg(plot), find_panels(plot)))
            plt.close(plot)
    (svg, panels), (small, _) = drawn
    return Figure("frontier", describe_frontier(rows), CAPTION, svg, panels, small)
