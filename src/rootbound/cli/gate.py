"""The gate on the command line: its exit codes, and the command that continues an undecided run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rootbound.cli.options import FolderOptions
from rootbound.metrics.measures import End
from rootbound.records import Evaluation, RunFolder
from rootbound.report.gate import Judgement
from rootbound.suites.suite import MOST_DRAWS

SHOWN_TO_HOLD, SHOWN_NOT_TO_HOLD, UNDECIDED = 0, 1, 3
"""Exit codes; 2 is bad input."""
CODES: dict[End, int] = {
    "holds": SHOWN_TO_HOLD,
    "does not hold": SHOWN_NOT_TO_HOLD,
    "undecided": UNDECIDED,
}
DROPPED = ("--out", "--extends", "--draws", "--seeds", "--until-decided", "--minutes")
"""Options that the continuing command changes or leaves out."""
SWITCHES = ("--until-decided",)
"""Those of them that have no value."""


def build_command_for_more(
    evaluation: Evaluation, judgement: Judgement, given: FolderOptions, folder: RunFolder
) -> str:
    """Return the command that continues a run and adds draws until its gate is decided.

    It is empty if no number of draws would decide it. A run with limited time cannot be continued,
    because it has other trials.

    Args:
        evaluation: The run.
        judgement: The outcome of its gate.
        given: The options that began the run.
        folder: The folder of the run.
    """
    decision, context = judgement.decision, evaluation.context
    needed = decision.needed
    if judgement.end != "undecided" or needed is None:
        return ""
    words = _remove_options(given.command, DROPPED)
    path = folder.for_run(context["run"]).path
    words += ["--seeds", str(context["seeds"]), "--until-decided"]
    before = context.get("until", {}).get("draws", 0)
    # Draws are counted for each seed; allow for looks, and for a spread that looks too small.
    most = max(MOST_DRAWS, 2 * -(-needed // context["seeds"]), before + 1)
    words += ["--draws", str(most)] if most != MOST_DRAWS else []
    words += ["--extends", str(path)] if "time" not in context else []
    words += ["--out", str(_find_free_folder(path))]
    return shlex.join(["rootbound", *words])


def _find_free_folder(path: Path) -> Path:
    """Return an unused folder beside an existing one, for the continuing run."""
    number = 2
    while (free := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return free


def _remove_options(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return the words of a command without some options and their values."""
    kept: list[str] = []
    skips = False
    for word in words:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            skips = name in options and name not in SWITCHES and not value
            if name in options:
                continue
        elif skips:
            skips = False
            continue
        kept.append(word)
    return kept
