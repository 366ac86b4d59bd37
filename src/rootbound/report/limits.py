"""The limits of any run: sentences on what it does not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rootbound.report.public import ONE_PUBLIC
from rootbound.report.settings import suite_in_words

FURTHER_DRAWS = (
    "Draws of labels were added until the gate was decided. The intervals of the gate allow for "
    "that; the 95 % intervals do not."
)


def list_limits(context: Mapping[str, Any]) -> list[str]:
    """Return the sentences that are printed below every report."""
    is_known = context["defender_undesirable_samples"] is not None
    seeds = f"{context['seeds']} seed{'s' if context['seeds'] > 1 else ''}"
    if attackers := context["rules"]["attackers"]:
        seeds += f", {attackers} attackers each,"
    shared = context["shared_undesirable"]
    halves = "the same" if shared else "disjoint halves of the training set"
    return [
        "Weights can always be thrown away: what can be shown is the advantage over scratch, "
        "not that the undesirable task cannot be learned.",
        *([ONE_PUBLIC] if "public" in context else []),
        f"This run shows what the attacks of suite {suite_in_words(context)} reach within its "
        "budgets; an attacker who is stronger, or knows the defence better, may reach more.",
        "The exact last layer is the global optimum of its training loss for each penalty "
        "(the duality gap in the record proves it); the penalty is chosen on the attacker's "
        "validation samples. It says nothing about attackers who retrain more.",
        f"All numbers come from {seeds} on one {'pair of tasks' if is_known else 'task'} and one "
        "architecture"
        + ("; the defender knew samples of every undesirable class" if is_known else "")
        + f". Intervals cover {'seeds and ' if context['seeds'] > 1 else ''}draws of labels, not "
        "other data.",
        *([FURTHER_DRAWS] if "until" in context else []),
        "Which undesirable samples the defender held is not known."
        if shared is None
        else f"The defender's and the attacker's undesirable samples are {halves}.",
    ]
