"""What an evaluation found, in sentences: the headline of a report, the verdict of an audit."""

from __future__ import annotations

from rootbound.metrics import measures as metrics
from rootbound.records import EXACT, Evaluation
from rootbound.report.balance import chance, describe_balanced, is_imbalanced
from rootbound.report.cases import choose_best, find_cases
from rootbound.report.cells import change, in_percent, in_words, interval
from rootbound.report.doubts import list_doubts, say_no_verdict
from rootbound.report.public import describe_gains_over_public, describe_marginal_risk, over_public
from rootbound.report.settings import (
    UNKNOWN_PURPOSE,
    describe_time,
    explain_own_scaling,
)


def describe_run(evaluation: Evaluation) -> list[str]:
    """Answer the main question: what do attackers gain from the best of the models?

    If the numbers of a model are unreliable, say only that, and why.
    """
    cases, budgets = find_cases(evaluation), metrics.budgets(evaluation)
    if not cases or not budgets:
        return ["No model has been evaluated yet."]
    best = choose_best([case for case in cases if not case.why_unreliable])
    if best is None:
        silent = [say_no_verdict(case.why_unreliable, on=case.method) for case in cases]
        said = [one for case in cases for one in list_doubts(evaluation, case.method, case.raised)]
        return [*silent, *dict.fromkeys(said)]
    method, plain = best.method, metrics.undefended(evaluation)
    called = "the model" if method == "defended" else f"the model trained with {method}"
    sentences = []
    if (value := _describe_exact(evaluation, method)) is not None:
        arms = {"the undefended one": plain, "random weights (scratch)": "scratch"}
        beside = "".join(
            f", {in_percent(reached)} on {name}"
            for name, arm in arms.items()
            if arm is not None and (reached := _describe_exact(evaluation, arm)) is not None
        )
        undesirable = evaluation.context["undesirable"]
        is_uneven = is_imbalanced(undesirable)
        counted = f" ({chance(undesirable)} where every class counts the same)" if is_uneven else ""
        sentences.append(
            f"Solved exactly, a new last layer for {undesirable['name']} reaches "
            f"{in_percent(value)} on {called}{beside}; always naming the most frequent class gives "
            f"{100 * undesirable['majority']:.1f} %{counted}."
        )
    if kept := _describe_desirable(evaluation, method, plain, "it" if sentences else called):
        sentences.append(kept)
    gains = [
        f"{change(gain).text} points with {in_words(labels)} ({interval(gain, 2)})"
        for labels in budgets
        if (gain := metrics.advantage(evaluation, method, labels)) is not None
    ]
    if gains:
        sentences.append(
            f"Free to retrain any number of layers, an attacker who starts from these weights "
            f"instead of random ones gains {', '.join(gains)}."
        )
    sentences += describe_gains_over_public(evaluation, method)
    return sentences + list_doubts(evaluation, method, best.raised)


def _describe_exact(evaluation: Evaluation, method: str) -> metrics.Estimate | None:
    """Return what the exact last layer reaches with the most labels, in percent."""
    labels = metrics.most_labels(evaluation)
    return metrics.points(metrics.attacked(evaluation, method, labels, EXACT))


def _describe_desirable(
    evaluation: Evaluation, method: str, plain: str | None, subject: str
) -> str:
    """Return a sentence about the desirable task; nothing where its accuracy is not known."""
    task = evaluation.context["desirable"]
    if task is None:
        return UNKNOWN_PURPOSE
    if (value := metrics.desirable_accuracy(evaluation, method)) is None:
        return ""
    sentence = (
        f"On {task['name']} {subject} classifies {value.mean:.2f} % of the test "
        f"{task.get('samples', 'images')} correctly"
    )
    loss = metrics.desirable_change(evaluation, method)
    if loss is None:
        return f"{sentence}."
    lost = f"{change(loss).text} points against the undefended model ({interval(loss, 2)})"
    return f"{sentence}, {lost}."


def describe_gains(evaluation: Evaluation, method: str) -> list[str]:
    """Return a sentence for each number of labels, and one for each reason to doubt them.

    Args:
        evaluation: Everything that was measured; without a scratch arm nothing can be said.
        method: Name of the model that was attacked.
    """
    sentences = []
    for labels in metrics.budgets(evaluation):
        own = metrics.points(metrics.attacked(evaluation, method, labels))
        fresh = metrics.points(metrics.attacked(evaluation, "scratch", labels))
        gain = metrics.advantage(evaluation, method, labels)
        if own is None or fresh is None or gain is None:
            continue
        sentences.append(
            f"With {in_words(labels)} an attacker reaches {in_percent(own)} from these weights "
            f"and {in_percent(fresh)} from random ones: {change(gain).text} points "
            f"({interval(gain, 2)})."
        )
        sentences += over_public(evaluation, method, labels)
    sentences += describe_marginal_risk(evaluation, method)
    sentences += describe_balanced(evaluation, method)
    if evaluation.context["desirable"] is None:
        sentences.append(UNKNOWN_PURPOSE)
    sentences += explain_own_scaling(evaluation.context) + list_doubts(evaluation, method)
    return [
        *sentences,
        *(f"{name}: {text}" for name, text in describe_time(evaluation.context).items()),
    ]
