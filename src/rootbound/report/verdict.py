"""What an audit found, in plain words: these weights beside random ones, label by label."""

from __future__ import annotations

from rootbound import metrics
from rootbound.metrics import Estimate
from rootbound.records import Evaluation
from rootbound.report.cells import change, in_words, interval
from rootbound.report.settings import UNKNOWN_PURPOSE, scaling_of_the_network, spent


def verdict(evaluation: Evaluation, method: str) -> list[str]:
    """Return a sentence for each number of labels, and one for each limit of what they say.

    Args:
        evaluation: with a scratch arm; without one nothing can be said.
        method: name of the model that was attacked.
    """
    sentences = []
    for labels in metrics.budgets(evaluation):
        ours = metrics.points(metrics.attacked(evaluation, method, labels))
        fresh = metrics.points(metrics.attacked(evaluation, "scratch", labels))
        gain = metrics.advantage(evaluation, method, labels)
        if ours is None or fresh is None or gain is None:
            continue
        sentences.append(
            f"With {in_words(labels)} an attacker reaches {_reached(ours)} from these weights "
            f"and {_reached(fresh)} from random ones: {change(gain).text} points "
            f"({interval(gain, 2)})."
        )
    if evaluation.context["desirable"] is None:
        sentences.append(UNKNOWN_PURPOSE)
    sentences += scaling_of_the_network(evaluation.context)
    return [*sentences, *(f"{name}: {text}" for name, text in spent(evaluation.context))]


def _reached(value: Estimate) -> str:
    return f"{value.mean:.1f} % ({interval(value, 1, bounded=True)})"
