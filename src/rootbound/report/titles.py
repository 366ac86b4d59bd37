"""Titles of figures: each says what to see in it, and is computed from records."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rootbound.metrics import measures as metrics
from rootbound.report.attack_names import describe_attack
from rootbound.report.cases import Case, signed
from rootbound.report.cells import in_words
from rootbound.report.head_start import is_undecided


def write_head_start_title(case: Case) -> str:
    """Return what the bars of the arms show."""
    if case.why_unreliable:
        return f"The numbers of {case.called} are unreliable: its bars mean nothing"
    if case.worst is None:
        return "No attack finished on every arm"
    labels, gain = case.worst
    if case.word == "none measured":
        return f"No number of labels gives attackers a measurable gain over {case.over}"
    if case.word != "no verdict":
        return f"With {in_words(labels)}, attackers gain {gain.mean:.1f} points over {case.over}"
    if case.unknown:
        said = f"With {in_words(case.unknown[0])} no attack finished on every arm"
    elif any(map(is_undecided, case.gains.values())):
        values = "Seeds" if case.models > 1 else "Draws of labels"
        why = "One draw of labels cannot" if gain.seeds == 1 else f"{values} differ too much to"
        said = f"{why} tell {case.called} from {case.over}"
    else:
        said = f"A warning says not to trust that {case.called} looks like {case.over}"
    return said


def write_steps_title(case: Case, families: Sequence[str]) -> str:
    """Return which curves over steps end highest above the strongest attack on scratch."""
    ends = {
        (family, labels): gain.mean
        for labels in metrics.budgets(case.evaluation)
        for family in families
        if (gain := metrics.advantage(case.evaluation, case.method, labels, family)) is not None
    }
    if not ends:
        return "No attack finished on every arm"
    family, labels = max(ends, key=lambda place: ends[place])
    most, name = ends[family, labels], _name(case)
    if most <= 0:
        return f"In none of these panels does {name} get above the strongest attack on scratch"
    attack, those = describe_attack(family, case.kind), f"With {in_words(labels)}"
    return (
        f"{those}, {attack} takes {name} {most:.1f} points above the strongest attack on scratch; "
        "no other panel goes further"
    )


def write_losses_title(case: Case) -> str:
    """Return the cross-entropy that attackers end with, with the most labels."""
    labels = metrics.most_labels(case.evaluation)
    ends: list[list[float]] = []
    for name in (case.method, "scratch"):
        chosen = metrics.selected(case.evaluation, name, labels).values()
        losses = (record.losses[record.selected] for record in chosen if record.losses)
        ends.append([loss for loss in losses if loss is not None])
    if not all(ends):
        return "The attackers' cross-entropy over their steps"
    own, fresh = map(statistics.fmean, ends)
    return (
        f"With {in_words(labels)}, attackers of {_name(case)} end at {own:.2f} nats, those of "
        f"scratch at {fresh:.2f}"
    )


def write_labels_title(case: Case) -> str:
    """Return how what the weights add changes with labels."""
    gains = list(case.gains.items())
    if not gains:
        return "No attack finished on every arm"
    (few, first), (many, last) = gains[0], gains[-1]
    start = f"The weights of {_name(case)} add {signed(first.mean)} points with {in_words(few)}"
    if len(gains) == 1:
        return start
    return f"{start} and {signed(last.mean)} with {in_words(many)}"


def write_trials_title(case: Case) -> str:
    """Return what trying many settings brings, where it brings most."""
    gained: dict[int | None, list[float]] = {}
    for labels in metrics.budgets(case.evaluation):
        curves = [
            metrics.best_so_far(case.evaluation, name, labels) for name in (case.method, "scratch")
        ]
        if labels != 1 and all(curves):
            gained[labels] = [100 * (curve[-1] - curve[0]) for curve in curves]
    if not gained:
        return "No attack finished on every arm"
    labels = max(gained, key=lambda one: gained[one][0])
    own, fresh = gained[labels]
    return (
        f"With {in_words(labels)}, trying all settings brings attackers of {_name(case)} "
        f"{signed(own)} points, those of scratch {signed(fresh)}"
    )


def _name(case: Case) -> str:
    return f"{case.called} (unreliable)" if case.why_unreliable else case.called
