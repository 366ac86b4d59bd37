"""Titles of figures: each says what to see in it, and follows from records."""

from __future__ import annotations

from rootbound.report.cases import Case
from rootbound.report.cells import in_words
from rootbound.report.head_start import is_undecided


def head_start_title(case: Case) -> str:
    """Return what the bars of the arms show."""
    if case.why_unreliable:
        return f"The bars of {case.method} mean nothing: its numbers are unreliable"
    if case.worst is None:
        return "No attack finished on every arm"
    labels, gain = case.worst
    if case.word == "none measured":
        return f"No number of labels gives attackers a measurable gain over {case.over}"
    if case.word != "no verdict":
        return f"With {in_words(labels)}, attackers gain {gain.mean:.1f} points over {case.over}"
    if any(map(is_undecided, case.gains.values())):
        why = (
            "One draw of labels cannot" if gain.seeds == 1 else "Draws of labels differ too much to"
        )
        return f"{why} tell {case.method} from {case.over}"
    return f"{case.method} looks like {case.over}, but a warning says not to trust that"
