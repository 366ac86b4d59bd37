"""The tables of a report: methods, steps, advantages, accuracies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rootbound.metrics import measures as metrics
from rootbound.records import EXACT, PRACTICAL, Evaluation
from rootbound.report.attack_names import describe_attack
from rootbound.report.cells import Cell, Table, change, in_words, interval, percent

SHARES = (0.90, 0.95)
"""Goals for counting steps, as shares of what the undefended model reaches."""


NO_PAIR = (
    " n/a: no draw of labels counts for both, because trials failed, or because only the strongest "
    "attacks go on to further draws."
)
"""Why a table that compares two arms lacks a number."""
NOT_FOR_THE_TASK = {"public", "scratch", "control"}
"""Arms without a desirable accuracy."""


def tabulate_methods(evaluation: Evaluation) -> Table:
    """Return the table of what each method keeps, and what attackers get from it."""
    most_labels = metrics.most_labels(evaluation)
    tuned = [name for name in metrics.columns(evaluation) if not name.startswith("last layer")]
    families = (PRACTICAL, EXACT, *tuned)
    rows = []
    for method in metrics.methods(evaluation):
        seconds = [one.seconds for one in evaluation.trainings if one.method == method]
        failed, total = metrics.failures(evaluation, method)
        rows.append(
            (
                Cell(method),
                *_show_desirable(evaluation, method),
                *(_show_reached(evaluation, method, most_labels, family) for family in families),
                Cell(f"{sum(seconds) / len(seconds):.1f} s" if any(seconds) else "–"),
                Cell(f"{failed} of {total}"),
            )
        )
    spread = "Mean over seeds with 95 % t-interval."
    if metrics.is_given(evaluation):
        spread = (
            "95 % intervals: of desirable accuracy over test samples, of the attacker's accuracy "
            "over draws of labels."
        )
    return Table(
        "Methods",
        f"{spread} The change is the desirable accuracy minus that of the undefended model, in "
        "points; it is coloured where its interval leaves out zero. The next columns are the "
        f"attacker's accuracy with {in_words(most_labels)}, by what is retrained.",
        (
            "method",
            "desirable accuracy",
            "change",
            *map(describe_attack, families),
            "training",
            "failed trials",
        ),
        tuple(rows),
    )


def _show_reached(evaluation: Evaluation, method: str, labels: int | None, family: str) -> Cell:
    """Return the attacker's accuracy in a cell, a dash where nothing was tried."""
    if not metrics.trials(evaluation, method, labels, family):
        return Cell("–")
    return percent(metrics.points(metrics.attacked(evaluation, method, labels, family)))


def _show_desirable(evaluation: Evaluation, method: str) -> tuple[Cell, Cell]:
    """Return the desirable accuracy and its change against the undefended arm."""
    value = metrics.desirable_accuracy(evaluation, method)
    if value is None:
        arms = {training.arm for training in evaluation.trainings if training.method == method}
        # The public model is not for the desirable task, nor are random weights.
        is_unknown = evaluation.context["desirable"] is None and not arms & NOT_FOR_THE_TASK
        return Cell("not given" if is_unknown else "n/a"), Cell("–")
    accuracy = Cell(f"{value.mean:.2f} %", interval(value, 2, bounded=True))
    if metrics.undefended(evaluation) in (None, method):
        return accuracy, Cell("–")
    return accuracy, change(metrics.desirable_change(evaluation, method), wanted="high")


def tabulate_steps(evaluation: Evaluation) -> Table:
    """Return the table of steps until an attacker catches up with the undefended model."""
    # Attacks that are solved at once, as most probes are, cost operations but no steps.
    in_steps = [record for record in evaluation.records if record.steps and record.steps[-1] > 0]
    stepwise = {name for record in in_steps for name in (record.family, record.tier)} - {"probe"}
    families = [name for name in metrics.columns(evaluation) if name in stepwise]
    columns = [(family, share) for family in families for share in SHARES]
    # A number and its unit stay on one line.
    names = (
        f"{describe_attack(family)}: {100 * share:.0f}\N{NO-BREAK SPACE}%"
        for family, share in columns
    )
    labels = metrics.most_labels(evaluation)
    rows = tuple(
        (
            Cell(method),
            *(
                _show_steps(metrics.steps_to_reach(evaluation, method, labels, *column))
                for column in columns
            ),
        )
        for method in metrics.methods(evaluation)
    )
    return Table(
        "Steps to catch up with the undefended model",
        f"Median over draws of the attacker's steps, with {in_words(labels)}, until the "
        "fastest of all trials reaches 90 % and 95 % of what the same attack gets from the "
        "undefended model; models are scored at steps 3, 10, 32, … and the last. "
        f"'Not reached' means not within the budget.{_explain_gaps(rows)}",
        ("method", *names),
        rows,
    )


def _show_steps(reached: list[int | None]) -> Cell:
    if not reached:
        return Cell("n/a")
    missed = reached.count(None)
    is_mixed = 0 < missed < len(reached)
    note = f"{missed} of {len(reached)} draws not reached" if is_mixed else ""
    median = metrics.median_steps(reached)
    if median is None:
        return Cell("not reached", note, "good")
    return Cell(f"{median:g}", note)


def tabulate_advantages(evaluation: Evaluation) -> Table:
    """Return the table of what weights are worth beyond random ones."""
    return _tabulate_over(
        evaluation,
        "scratch",
        "Advantage over scratch",
        "The attacker's accuracy minus that of the strongest attack on random weights of the same "
        "architecture with the same labels, in points, paired over draws with 95 % t-interval. "
        "Above zero the weights are worth something to the attacker. A number is coloured where a "
        "paired t-test finds it different from zero (5 %, not corrected for the number of cells).",
    )


def tabulate_advantages_over_public(evaluation: Evaluation) -> Table | None:
    """Return the table of what weights add to the public model; None without one."""
    name = metrics.public(evaluation)
    if name is None:
        return None
    return _tabulate_over(
        evaluation,
        name,
        "Advantage over the public model",
        "The same, minus the strongest attack on the public model with the same labels: above zero "
        "the weights add something to what anyone can download. A row of scratch below zero says "
        "how much the public model is worth over random weights.",
    )


def _tabulate_over(evaluation: Evaluation, over: str, title: str, caption: str) -> Table:
    families = [*metrics.columns(evaluation), None]
    rows = tuple(
        (
            Cell(method),
            Cell(in_words(labels)),
            *(
                change(metrics.advantage(evaluation, method, labels, family, over=over))
                for family in families
            ),
        )
        for method in metrics.methods(evaluation)
        if method != over
        for labels in metrics.budgets(evaluation)
    )
    # Older records have no well-tuned attacker: with few labels its choice is mostly chance.
    best = "strongest attack" if metrics.is_well_tuned(evaluation) else "realistic attacker"
    columns = ("method", "labels", *(describe_attack(family or best) for family in families))
    return Table(title, f"{caption}{_explain_gaps(rows)}", columns, rows)


def _explain_gaps(rows: Iterable[Sequence[Cell]]) -> str:
    """Return why numbers of a comparison are missing; empty if none are."""
    return NO_PAIR if any(cell.text == "n/a" for row in rows for cell in row) else ""


def tabulate_accuracies(evaluation: Evaluation) -> Table:
    """Return the table of the attacker's accuracies."""
    families = metrics.columns(evaluation)
    rows = tuple(
        (
            Cell(method),
            Cell(in_words(labels)),
            *(_show_reached(evaluation, method, labels, family) for family in families),
        )
        for method in metrics.methods(evaluation)
        for labels in metrics.budgets(evaluation)
    )
    return Table(
        "The attacker's accuracy",
        "Accuracy of the trial that the attacker's validation samples chose, on the whole "
        "undesirable test set; mean over draws with 95 % t-interval. On scratch, the last layer is "
        "trained on the features of a random network.",
        ("method", "labels", *map(describe_attack, families)),
        rows,
    )
