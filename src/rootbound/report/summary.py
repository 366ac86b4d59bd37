"""What a report says, as plain values: the headline and the rows of its tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rootbound import metrics
from rootbound.metrics import Estimate
from rootbound.records import EXACT, PRACTICAL, Evaluation
from rootbound.report.curves import in_words

SHARES = (0.90, 0.95)
"""Of what the undefended model reaches: the goals that steps are counted to."""


@dataclass(frozen=True)
class Cell:
    """One number of a table: its text, its interval in words, and whether it stands out."""

    text: str
    note: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table: a caption that says how to read it, column names, rows of cells."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Summary:
    """Headline sentences and tables."""

    headline: tuple[str, ...]
    tables: tuple[Table, ...]
    limits: tuple[str, ...]


def summarise(evaluation: Evaluation) -> Summary:
    """Return the summary of an evaluation, complete or not."""
    tables = [_overview(evaluation)]
    if metrics.undefended(evaluation):
        tables.append(_steps(evaluation))
    tables += [_advantages(evaluation), _accuracies(evaluation)]
    return Summary(tuple(_headline(evaluation)), tuple(tables), tuple(_limits(evaluation)))


def percent(value: Estimate | None) -> Cell:
    """Return an accuracy as `97.7 %`, with its interval."""
    if value is None:
        return Cell("n/a", "every trial failed")
    return Cell(f"{value.mean:.1f} %", _interval(value, 1, bounded=True))


def change(value: Estimate | None, digits: int = 2) -> Cell:
    """Return a difference as `+0.12`, with its interval, marked where it excludes 0."""
    if value is None:
        return Cell("n/a")
    mark = "" if not value.significant else "up" if value.mean > 0 else "down"
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return Cell(f"{round(value.mean, digits) + 0.0:+.{digits}f}", _interval(value, digits), mark)


def _interval(value: Estimate, digits: int, *, bounded: bool = False) -> str:
    if math.isinf(value.low):
        return "one seed"
    low, high = value.low, value.high
    if bounded:
        low, high = max(low, 0.0), min(high, 100.0)
    return f"{low:.{digits}f} to {high:.{digits}f}"


def _headline(evaluation: Evaluation) -> list[str]:
    """Answer the founding question in plain words."""
    context = evaluation.context
    plain = metrics.undefended(evaluation)
    defended = [name for name in metrics.methods(evaluation) if name not in (plain, "scratch")]
    if not defended or EXACT not in metrics.families(evaluation):
        return ["No defended model has been evaluated yet."]
    method = _lowest(evaluation, defended)
    everything = metrics.budgets(evaluation)[-1]
    ours = metrics.points(metrics.attacked(evaluation, method, everything, EXACT))
    sentences = []
    if ours is not None:
        sentences.append(
            f"The best possible new last layer for {context['undesirable']['name']} reaches "
            f"{_plain(ours)} on {_called(method)}"
            + _versus(evaluation, plain, everything)
            + f"; always naming the most frequent class gives "
            f"{100 * context['undesirable']['majority']:.1f} %."
        )
    cost = _cost(evaluation, method, plain)
    if cost:
        sentences.append(cost)
    gains = [
        f"{change(gain).text} points with {in_words(labels)} ({_interval(gain, 2)})"
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
    """Return the defended method with the lowest exact last layer: the one to talk about."""
    everything = metrics.budgets(evaluation)[-1]

    def reached(name: str) -> float:
        value = metrics.points(metrics.attacked(evaluation, name, everything, EXACT))
        return math.inf if value is None else value.mean

    return min(names, key=reached)


def _plain(value: Estimate) -> str:
    return f"{value.mean:.1f} % ({_interval(value, 1, bounded=True)})"


def _versus(evaluation: Evaluation, plain: str | None, labels: int | None) -> str:
    if plain is None:
        return ""
    value = metrics.points(metrics.attacked(evaluation, plain, labels, EXACT))
    return "" if value is None else f", and {_plain(value)} on the undefended one"


def _cost(evaluation: Evaluation, method: str, plain: str | None) -> str:
    ours = metrics.points(metrics.desirable(evaluation, method))
    if ours is None:
        return ""
    task = evaluation.context["desirable"]["name"]
    sentence = f"On {task} it classifies {ours.mean:.2f} % of the test images correctly"
    if plain is None:
        return sentence + "."
    loss = metrics.paired(
        metrics.desirable(evaluation, method), metrics.desirable(evaluation, plain)
    )
    if loss is None:
        return sentence + "."
    lost = f"{change(loss).text} points against the undefended model ({_interval(loss, 2)})"
    return f"{sentence}, {lost}."


def _overview(evaluation: Evaluation) -> Table:
    plain = metrics.undefended(evaluation)
    everything = metrics.budgets(evaluation)[-1] if evaluation.records else None
    tuned = [name for name in metrics.families(evaluation) if not name.startswith("last layer")]
    rows = []
    for method in metrics.methods(evaluation):
        own = metrics.desirable(evaluation, method)
        seconds = [one.seconds for one in evaluation.trainings if one.method == method]
        desirable = metrics.points(own)
        reference = metrics.desirable(evaluation, plain) if plain else {}
        cells = [
            Cell(method),
            Cell("n/a")
            if desirable is None
            else Cell(f"{desirable.mean:.2f} %", _interval(desirable, 2, bounded=True)),
            Cell("–") if method in (plain, "scratch") else change(metrics.paired(own, reference)),
        ]
        for family in (PRACTICAL, EXACT, *tuned):
            accuracies = metrics.attacked(evaluation, method, everything, family)
            cells.append(percent(metrics.points(accuracies)))
        cells.append(Cell(f"{sum(seconds) / len(seconds):.1f} s" if any(seconds) else "–"))
        failed, total = metrics.failures(evaluation, method)
        cells.append(Cell(f"{failed} of {total}"))
        rows.append(tuple(cells))
    return Table(
        "Methods",
        "Mean over seeds with 95 % t-interval. The change of desirable accuracy, in points, is "
        "paired with the undefended model over seeds and coloured where a paired t-test finds it "
        "significant (5 %). Then the attacker's accuracy with "
        f"{in_words(everything)}, by what is retrained.",
        (
            "method",
            "desirable accuracy",
            "change",
            PRACTICAL,
            EXACT,
            *tuned,
            "training",
            "failed trials",
        ),
        tuple(rows),
    )


def _steps(evaluation: Evaluation) -> Table:
    families = [name for name in metrics.families(evaluation) if name != EXACT]
    budgets = metrics.budgets(evaluation)
    columns = [(family, labels) for family in families for labels in (budgets[-1],)]
    rows = []
    for method in metrics.methods(evaluation):
        cells = [Cell(method)]
        for family, labels in columns:
            for share in SHARES:
                reached = metrics.steps_to_reach(evaluation, method, labels, family, share)
                cells.append(_steps_cell(reached))
        rows.append(tuple(cells))
    return Table(
        "Steps to catch up with the undefended model",
        f"Median over seeds of the attacker's steps, with {in_words(budgets[-1])}, until the "
        "fastest of all trials reaches 90 % and 95 % of what the strongest attack gets from the "
        "undefended model; models are scored at steps 3, 10, 32, … and the last. "
        "'Not reached' means not within the budget, and is no number.",
        ("method", *(f"{family}: {share:.0%}" for family, _ in columns for share in SHARES)),
        tuple(rows),
    )


def _steps_cell(reached: list[int | None]) -> Cell:
    if not reached:
        return Cell("n/a")
    missing = sum(step is None for step in reached)
    note = f"{missing} of {len(reached)} seeds not reached" if missing else ""
    median = metrics.median_steps(reached)
    if median is None:
        return Cell("not reached", note, "down")
    return Cell(f"{median:g}", note)


def _advantages(evaluation: Evaluation) -> Table:
    budgets = metrics.budgets(evaluation)
    families = [*metrics.families(evaluation), None]
    rows = tuple(
        (
            Cell(method),
            Cell(in_words(labels)),
            *(change(metrics.advantage(evaluation, method, labels, family)) for family in families),
        )
        for method in metrics.methods(evaluation)
        if method != "scratch"
        for labels in budgets
    )
    return Table(
        "Advantage over scratch",
        "The attacker's accuracy minus that of the strongest attack on random weights of the same "
        "architecture with the same labels, in points, paired over seeds with 95 % t-interval. "
        "Above zero the weights are worth something to the attacker. Coloured where a paired "
        "t-test finds it different from zero (5 %, not corrected for the number of cells).",
        ("method", "labels", *(family or "strongest attack" for family in families)),
        rows,
    )


def _accuracies(evaluation: Evaluation) -> Table:
    families = metrics.families(evaluation)
    rows = tuple(
        (
            Cell(method),
            Cell(in_words(labels)),
            *(
                percent(metrics.points(metrics.attacked(evaluation, method, labels, family)))
                for family in families
            ),
        )
        for method in metrics.methods(evaluation)
        for labels in metrics.budgets(evaluation)
    )
    return Table(
        "The attacker's accuracy",
        "Of the trial that the attacker's validation samples chose, on the whole undesirable test "
        "set; mean over seeds with 95 % t-interval. On scratch, the last layer is trained on the "
        "features of a random network.",
        ("method", "labels", *families),
        rows,
    )


def _limits(evaluation: Evaluation) -> list[str]:
    context = evaluation.context
    shared = context["shared_undesirable"]
    return [
        "Weights can always be thrown away: what can be shown is the advantage over scratch, "
        "not that the undesirable task cannot be learned.",
        f"Shown is what the attacks of suite {context['suite']} reach within its budgets; a "
        "stronger or a defence-aware attacker may reach more.",
        "The exact last layer is the global optimum of its training loss for each penalty "
        "(duality gap in the record); the penalty is chosen on the attacker's validation samples. "
        "It says nothing of attackers who retrain more.",
        f"{context['seeds']} seeds on one pair of tasks and one architecture; the defender knew "
        "samples of every undesirable class. Intervals cover seeds, not other data.",
        "The defender's and the attacker's undesirable samples are "
        + ("the same." if shared else "disjoint halves of the training set."),
    ]
