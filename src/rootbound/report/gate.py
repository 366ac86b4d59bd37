"""The gate in words: its outcome, the reasons, and what would decide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rootbound.flags import BEHAVIOUR_FLAGS, Raised
from rootbound.metrics import Decision
from rootbound.metrics import measures as metrics
from rootbound.metrics.gate import RATE
from rootbound.records import Evaluation
from rootbound.report.cells import in_words
from rootbound.report.doubts import (
    DISQUALIFYING,
    list_scope_doubts,
    list_scratch_doubts,
    list_time_doubts,
    say_why_nothing,
)
from rootbound.report.public import SAME_WEIGHTS, TOO_WEAK, is_same_as_public

HIDING = {
    "tiny gradients",
    "outputs not finite",
    "outputs change from call to call",
    "outputs renamed in the head",
    *(flag.name for flag in BEHAVIOUR_FLAGS),
}
"""Flags of networks that hide what they know. Others, such as that of dead units, are raised where
features were removed, too, and by ordinary networks that have no undefended one beside them."""
FAILED = {"failed trials", "fewer finished trials"}
"""Flags under which scratch and the public model may be worth more than was found."""


@dataclass(frozen=True)
class Judgement:
    """The outcome of a gate, with all doubts taken into account.

    Args:
        decision: What the intervals show.
        end: The outcome: the same, or undecided if there is a reason against it.
        reasons: Why it is undecided whatever the intervals show.
    """

    decision: Decision
    end: metrics.End
    reasons: tuple[str, ...]


def judge(evaluation: Evaluation, method: str, limit: float, raised: Sequence[Raised]) -> Judgement:
    """Return the outcome of the gate for a method.

    A limit is never shown to hold where attacks on the method were weaker than they could be, the
    comparison with scratch is doubtful, or the network hides something: there is no interval for
    that. It is never shown not to hold where attacks on scratch failed, or where those on the
    public model failed or were too weak.

    Args:
        evaluation: Everything that was measured.
        method: Name of the method.
        limit: Largest allowed marginal advantage, in points.
        raised: The flags of the evaluation.

    Raises:
        InputError: The limit is not a finite number.
    """
    decision = metrics.decide(evaluation, method, limit)
    reasons: list[str] = []
    if decision.end == "holds":
        reasons += why_not_to_trust(evaluation, method, raised)
    elif decision.end == "does not hold":
        reasons += _list_evidence("scratch", FAILED, raised)
        reasons += _list_evidence(metrics.public(evaluation), FAILED | {*TOO_WEAK}, raised)
    return Judgement(decision, "undecided" if reasons else decision.end, tuple(reasons))


def why_not_to_trust(evaluation: Evaluation, method: str, raised: Sequence[Raised]) -> list[str]:
    """Return why good news about a method cannot be relied on, whatever the intervals show."""
    return [
        *list_scratch_doubts(raised),
        *list_scope_doubts(evaluation, method),
        *list_time_doubts(evaluation, method),
        *([SAME_WEIGHTS] if is_same_as_public(evaluation, method) else []),
        *_list_evidence(method, {*DISQUALIFYING, *HIDING}, raised),
    ]


def _list_evidence(method: str | None, names: set[str], raised: Sequence[Raised]) -> list[str]:
    """Return the evidence of some flags about a method, each flag once."""
    found: dict[str, str] = {}
    for one in raised:
        if one.method == method and one.flag in names:
            found.setdefault(one.flag, f"{one.flag} ({method}): {one.evidence}.")
    return list(found.values())


def in_a_sentence(judgement: Judgement, evaluation: Evaluation, command: str = "") -> str:
    """Return the outcome of a gate in a sentence, with the command that continues it, if any."""
    decision = judgement.decision
    over = "random weights"
    if metrics.public(evaluation) is not None:
        over = "the stronger of random weights and the public model"
    if judgement.end == "undecided" and judgement.reasons:
        but = " ".join(judgement.reasons)
        return f"undecided: the intervals alone would say '{decision.end}', but {but}"
    if judgement.end == "undecided":
        if not decision.cells:
            return f"undecided: {say_why_nothing(evaluation)}"
        return f"undecided: {_describe_open(decision, over)}; {_describe_need(decision, command)}"
    holds = judgement.end == "holds"
    ends = {cell.labels: cell.high if holds else cell.low for cell in decision.cells}
    shown = [cell.labels for cell in decision.cells if cell.end == judgement.end]
    labels = max(shown, key=lambda one: ends[one] or 0.0)
    looks = ", all looks together" if decision.looks else ""
    return (
        f"shown {'to hold' if holds else 'not to hold'}: over {over} the weights add "
        f"{_write_signed(ends[labels])} points at {'most' if holds else 'least'}, with "
        f"{in_words(labels)} (the limit is {decision.limit:g}; wrong in {100 * RATE:g} % of cases "
        f"at most{looks})"
    )


def _describe_open(decision: Decision, over: str) -> str:
    """Describe the undecided number of labels with the largest advantage."""
    cells = [cell for cell in decision.cells if cell.end == "undecided"]
    for cell in cells:
        if cell.mean is None:
            return f"with {in_words(cell.labels)} no attack finished on every arm"
    cell = max(cells, key=lambda one: one.mean or 0.0)
    if cell.low is None or cell.high is None:
        things = "seed" if decision.of_models else "draw of labels"
        return f"{cell.draws} {things}{'' if cell.draws == 1 else 's'} cannot show a spread"
    return (
        f"with {in_words(cell.labels)} the weights add between {_write_signed(cell.low)} and "
        f"{_write_signed(cell.high)} points over {over} (the limit is {decision.limit:g})"
    )


def _describe_need(decision: Decision, command: str) -> str:
    """Return how many more draws would be enough, and which command makes them."""
    open_cells = [cell for cell in decision.cells if cell.end == "undecided"]
    if decision.needed is None:
        if any(cell.mean is None for cell in open_cells):
            return "no number of draws would decide that"
        return (
            "no number of draws would decide it, because the advantage is too near to what is "
            "allowed, or the test samples are too few"
        )
    more = max(1, decision.needed - min(cell.draws for cell in open_cells))
    about = "at least" if any(cell.high is None for cell in open_cells) else "about"
    things = "seed" if decision.of_models else "draw"
    words = f"{about} {more} {things}{'' if more == 1 else 's'} more would do"
    if not command:
        return words
    # The look so far had the whole error rate, and the looks that follow share as much again.
    return f"{words} (then wrong in {200 * RATE:g} % of cases at most): {command}"


def _write_signed(value: float | None) -> str:
    return f"{round(value or 0.0, 2) + 0.0:+.2f}"


def to_values(judgement: Judgement, evaluation: Evaluation, command: str = "") -> dict[str, object]:
    """Return a judgement as values that JSON can hold."""
    decision = judgement.decision
    until = evaluation.context.get("until")
    return {
        "limit": decision.limit,
        "end": judgement.end,
        "sentence": in_a_sentence(judgement, evaluation, command),
        "error_rate": RATE,
        "looks": None if until is None else until["looks"],
        "most_draws": None if until is None else until["draws"],
        "reasons": list(judgement.reasons),
        "draws_that_would_do": decision.needed,
        "command": command or None,
        "cells": [
            {
                "labels": cell.labels,
                "end": cell.end,
                "marginal_advantage": _round(cell.mean),
                "low": _round(cell.low),
                "high": _round(cell.high),
                "low_error_rate": cell.low_rate,
                "high_error_rate": cell.high_rate,
                "draws": cell.draws,
                "draws_that_would_do": cell.needed,
            }
            for cell in decision.cells
        ],
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
