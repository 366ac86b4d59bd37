"""The founding question, answered in plain words."""

from __future__ import annotations

import math

from rootbound import metrics
from rootbound.metrics import Estimate
from rootbound.records import EXACT, Evaluation
from rootbound.report.cells import change, in_words, interval
from rootbound.report.settings import UNKNOWN_PURPOSE


def headline(evaluation: Evaluation) -> list[str]:
    """Answer the founding question in plain words."""
    context = evaluation.context
    plain = metrics.undefended(evaluation)
    arms = {training.method: training.arm for training in evaluation.trainings}
    defended = [name for name in metrics.methods(evaluation) if arms[name] == "defended"]
    if not defended or not metrics.budgets(evaluation):
        return ["No defended model has been evaluated yet."]
    method = _lowest(evaluation, defended)
    everything = metrics.budgets(evaluation)[-1]
    ours = metrics.points(metrics.attacked(evaluation, method, everything, EXACT))
    sentences = []
    if ours is not None:
        sentences.append(
            f"Solved exactly, a new last layer for {context['undesirable']['name']} reaches "
            f"{_plain(ours)} on {_called(method)}"
            + _versus(evaluation, plain, everything)
            + f"; always naming the most frequent class gives "
            f"{100 * context['undesirable']['majority']:.1f} %."
        )
    cost = _cost(evaluation, method, plain, "it" if sentences else _called(method))
    if cost:
        sentences.append(cost)
    gains = [
        f"{change(gain).text} points with {in_words(labels)} ({interval(gain, 2)})"
        for labels in metrics.budgets(evaluation)
        if (gain := metrics.advantage(evaluation, method, labels)) is not None
    ]
    if gains:
        sentences.append(
            f"Free to retrain any number of layers, an attacker who starts from these weights "
            f"instead of random ones gains {', '.join(gains)}."
        )
    return sentences


def _called(method: str) -> str:
    """Return how to speak of a model: one that was given has no method to name."""
    return "the defended model" if method == "defended" else f"the model trained with {method}"


def _lowest(evaluation: Evaluation, names: list[str]) -> str:
    """Return the defended method to talk about: that with the lowest exact last layer.

    Where a suite has no such attack it is that with the lowest worst advantage.
    """
    everything = metrics.budgets(evaluation)[-1]

    def reached(name: str) -> float:
        value = metrics.points(metrics.attacked(evaluation, name, everything, EXACT))
        return math.inf if value is None else value.mean

    in_order = [one.method for one in metrics.standings(evaluation) if one.method in names]
    return min(in_order, key=reached)


def _plain(value: Estimate) -> str:
    return f"{value.mean:.1f} % ({interval(value, 1, bounded=True)})"


def _versus(evaluation: Evaluation, plain: str | None, labels: int | None) -> str:
    if plain is None:
        return ""
    value = metrics.points(metrics.attacked(evaluation, plain, labels, EXACT))
    return "" if value is None else f", and {_plain(value)} on the undefended one"


def _cost(evaluation: Evaluation, method: str, plain: str | None, subject: str) -> str:
    task = evaluation.context["desirable"]
    if task is None:
        return UNKNOWN_PURPOSE
    ours = metrics.points(metrics.desirable(evaluation, method))
    if ours is None:
        return ""
    samples = task.get("samples", "images")
    sentence = (
        f"On {task['name']} {subject} classifies {ours.mean:.2f} % of the test {samples} correctly"
    )
    if plain is None:
        return sentence + "."
    loss = metrics.paired(
        metrics.desirable(evaluation, method), metrics.desirable(evaluation, plain)
    )
    if loss is None:
        return sentence + "."
    lost = f"{change(loss).text} points against the undefended model ({interval(loss, 2)})"
    return f"{sentence}, {lost}."
