"""Reasons why the numbers of a run say less than they seem to; every verdict states them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rootbound.flags import ONE_BLOCK, SCRATCH_FLAGS, Raised, flags
from rootbound.metrics import measures as metrics
from rootbound.metrics.attackers import FAMILIES_PER_STRONGEST, STRONGEST
from rootbound.records import Evaluation
from rootbound.report.public import list_public_doubts

NEW_HEAD = (
    "The weights came without a last layer for the desirable task: it is new and random, so "
    "desirable accuracy says nothing about them."
)
DISQUALIFYING = ("desirable accuracy lost", "fewer finished trials", "failed trials")
"""Flags that make a row unreliable: under them a low advantage proves nothing."""


def disqualify(raised: Iterable[Raised]) -> dict[str, list[Raised]]:
    """Return the raised flags that make a row unreliable, by method."""
    found: dict[str, list[Raised]] = {}
    for one in raised:
        if one.flag in DISQUALIFYING:
            found.setdefault(one.method, []).append(one)
    return found


def explain_unreliable(method: str, raised: Sequence[Raised]) -> list[str]:
    """Return why a low advantage of a method proves nothing; empty if it can be trusted."""
    own = disqualify(raised).get(method, [])
    evidence = {one.flag: one.evidence for one in reversed(own)}  # that of the first seed counts
    about = [f"{flag} ({evidence[flag]})" for flag in DISQUALIFYING if flag in evidence]
    return [*list_scratch_doubts(raised), *about]


def say_no_verdict(why: Iterable[str], on: str = "") -> str:
    """Return in one sentence that there is no verdict, and why."""
    reasons = "; ".join(reason.rstrip(".") for reason in why)
    return f"No verdict{f' on {on}' if on else ''}: {reasons}."


def list_scratch_doubts(raised: Iterable[Raised]) -> list[str]:
    """Return reasons why an advantage over scratch is not valid in this run, if there are any."""
    names = {flag.name for flag in SCRATCH_FLAGS}
    evidence = [one.evidence for one in raised if one.flag in names]
    return [f"The comparison with scratch is not valid: {words}." for words in evidence]


def list_scope_doubts(evaluation: Evaluation, method: str) -> list[str]:
    """Return the doubt that attacks could not reach inner layers, if there is one."""
    unseen = evaluation.context.get("one_block", {})  # older records do not say
    is_unseen = not {method, "scratch", metrics.public(evaluation)}.isdisjoint(unseen)
    return [ONE_BLOCK] if is_unseen else []


def list_time_doubts(evaluation: Evaluation, method: str) -> list[str]:
    """Return the doubt that the time ended before enough attacks were tried, if there is one.

    The well-tuned attacker is the mean of three families where there are twelve.
    """
    if not evaluation.context.get("time", {}).get("stopped", False):
        return []
    records = (record for record in evaluation.records if record.method == method)
    count, least = len({record.family for record in records}), FAMILIES_PER_STRONGEST * STRONGEST
    if count >= least:
        return []
    return [f"The time was over after {count} of at least {least} families of attacks."]


def say_why_nothing(evaluation: Evaluation) -> str:
    """Return why no model of a run has been attacked."""
    if evaluation.context.get("time", {}).get("stopped", False):
        return "the time was over before a model was attacked: give it more minutes"
    return "no defended model was attacked"


def list_doubts(
    evaluation: Evaluation, method: str, raised: Sequence[Raised] | None = None
) -> list[str]:
    """Return all doubts about a method, and whether its last layer was missing.

    Args:
        evaluation: Everything that was measured.
        method: Name of the method.
        raised: The flags of the evaluation, if they are known already.
    """
    if raised is None:
        raised = flags(evaluation)
    has_new_head = method in evaluation.context.get("new_head", ())
    return [
        *list_scratch_doubts(raised),
        *list_public_doubts(evaluation, method, raised),
        *list_scope_doubts(evaluation, method),
        *list_time_doubts(evaluation, method),
        *([NEW_HEAD] if has_new_head else []),
    ]
