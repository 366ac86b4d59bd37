"""What weights add to the best starting point that anyone can download: their marginal risk.

S. Kapoor et al., "On the Societal Impact of Open Foundation Models", ICML 2024,
https://arxiv.org/abs/2403.07918: the risk of published weights is what they add to what people can
do without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rootbound.flags import Raised
from rootbound.metrics import measures as metrics
from rootbound.records import Evaluation
from rootbound.report.cells import change, in_percent, in_words, interval

SAME_WEIGHTS = (
    "The public model has the same weights as the audited model, so the weights add nothing to it: "
    "name another one, or use the numbers over scratch."
)
TOO_WEAK = ("failed trials", "attacker below raw inputs")
"""Flags that say that attacks on an arm were weaker than they could be."""
WEAKLY_ATTACKED = (
    "Attacks on the public model were too weak ({flags}), so the weights seem to add more to it "
    "than they do."
)
ONE_PUBLIC = (
    "'Public' means the one model that was named: beside a better one the weights would add less, "
    "and more if that model is not public."
)


def public_in_words(context: Mapping[str, Any]) -> dict[str, str]:
    """Return which public model was attacked; nothing without one."""
    if "public" not in context:
        return {}
    model, digest = context["public"], str(context["weights"]["public"])
    return {
        "Public model": f"{model['model']}, {model['parameters']:,} parameters, the same for every "
        f"seed (weights: SHA-256 {digest[:16]}…)"
    }


def over_public(evaluation: Evaluation, method: str, labels: int | None) -> list[str]:
    """Return a sentence on what the weights add to the public model with so many labels."""
    name = metrics.public(evaluation)
    if name is None:
        return []
    reached = metrics.points(metrics.attacked(evaluation, name, labels))
    gain = metrics.advantage(evaluation, method, labels, over=name)
    if reached is None or gain is None:
        return []
    return [
        f"From the public model it reaches {in_percent(reached)}: over that these weights give "
        f"{change(gain).text} points ({interval(gain, 2)})."
    ]


def describe_gains_over_public(evaluation: Evaluation, method: str) -> list[str]:
    """Return a sentence on the gains over the public model with every number of labels."""
    name = metrics.public(evaluation)
    gains = [
        f"{change(gain).text} points with {in_words(labels)} ({interval(gain, 2)})"
        for labels in metrics.budgets(evaluation)
        if name is not None
        and (gain := metrics.advantage(evaluation, method, labels, over=name)) is not None
    ]
    return [f"Over the public model it gains {', '.join(gains)}."] if gains else []


def describe_marginal_risk(evaluation: Evaluation, method: str) -> list[str]:
    """Return a sentence on what the weights add to the best that attackers have without them."""
    if metrics.public(evaluation) is None:
        return []
    standings = {standing.method: standing for standing in metrics.standings(evaluation)}
    worst = standings[method].marginal
    if worst is None:
        return []
    return [
        f"To the stronger of random weights and the public model these weights add "
        f"{change(worst.advantage).text} points at most (with {in_words(worst.labels)}; "
        f"{interval(worst.advantage, 2)})."
    ]


def is_same_as_public(evaluation: Evaluation, method: str) -> bool:
    """Return whether the public model has the same weights as a method's model."""
    name, weights = metrics.public(evaluation), evaluation.context.get("weights", {})
    return weights.get(name) is not None and weights.get(name) == weights.get(method)


def list_public_doubts(evaluation: Evaluation, method: str, raised: Iterable[Raised]) -> list[str]:
    """Return why the numbers over the public model say less than they seem to."""
    name = metrics.public(evaluation)
    if name is None:
        return []
    found = dict.fromkeys(one.flag for one in raised if one.method == name)
    weak = ", ".join(flag for flag in found if flag in TOO_WEAK)
    return [
        *([SAME_WEIGHTS] if is_same_as_public(evaluation, method) else []),
        *([WEAKLY_ATTACKED.format(flags=weak)] if weak else []),
    ]
