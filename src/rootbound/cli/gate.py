"""How a gate ends a command: exit codes, and the command that goes on where it is undecided."""

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
"""Options that the command that goes on has with other values, or not at all."""
SWITCHES = ("--until-decided",)
"""Those of them that are given no value."""


def command_for_more(
    evaluation: Evaluation, judgement: Judgement, given: FolderOptions, folder: RunFolder
) -> str:
    """Return the command that takes up a run and adds draws until its gate is decided.

    It is empty where no draws would decide it. A run in a limited time is not taken up: it has
    other trials.

    Args:
        evaluation: The run that was judged.
        judgement: Where its gate ended.
        given: The options that began the run.
        folder: Where it is.
    """
    decision, context = judgement.decision, evaluation.context
    needed = decision.needed
    if judgement.end != "undecided" or needed is None:
        return ""
    words = _without(given.command, DROPPED)
    path = folder.for_run(context["run"]).path
    words += ["--seeds", str(context["seeds"]), "--until-decided"]
    before = context.get("until", {}).get("draws", 0)
    # Draws are counted for each seed; allow for looks, and for a spread that looks too small.
    most = max(MOST_DRAWS, 2 * -(-needed // context["seeds"]), before + 1)
    words += ["--draws", str(most)] if most != MOST_DRAWS else []
    words += ["--extends", str(path)] if "time" not in context else []
    words += ["--out", str(_free(path))]
    return shlex.join(["rootbound", *words])


def _free(path: Path) -> Path:
    """Return a folder beside one that is there, for the run that goes on."""
    number = 2
    while (free := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return free


def _without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return the words of a command without some options and what they are given."""
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
