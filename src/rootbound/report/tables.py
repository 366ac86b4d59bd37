"""The tables of a report."""

from __future__ import annotations

from rootbound import metrics
from rootbound.records import EXACT, PRACTICAL, Evaluation
from rootbound.report.cells import Cell, Table, change, in_words, interval, percent

SHARES = (0.90, 0.95)
"""Of what the undefended model reaches: the goals that steps are counted to."""


def overview(evaluation: Evaluation) -> Table:
    """Return the table of what each method keeps, and what attackers get from it."""
    everything = metrics.budgets(evaluation)[-1] if evaluation.records else None
    tuned = [name for name in metrics.columns(evaluation) if not name.startswith("last layer")]
    rows = tuple(
        (
            Cell(method),
            *_desirable(evaluation, method),
            *(
                _reached(evaluation, method, everything, family)
                for family in (PRACTICAL, EXACT, *tuned)
            ),
            *_effort(evaluation, method),
        )
        for method in metrics.methods(evaluation)
    )
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
        rows,
    )


def _reached(evaluation: Evaluation, method: str, labels: int | None, family: str) -> Cell:
    """Return the attacker's accuracy in a cell, a dash where nothing was tried."""
    if not metrics.trials(evaluation, method, labels, family):
        return Cell("–")
    return percent(metrics.points(metrics.attacked(evaluation, method, labels, family)))


def _desirable(evaluation: Evaluation, method: str) -> tuple[Cell, Cell]:
    """Return the desirable accuracy and its change against the undefended arm."""
    plain, own = metrics.undefended(evaluation), metrics.desirable(evaluation, method)
    value = metrics.points(own)
    if value is None:
        arms = {one.arm for one in evaluation.trainings if one.method == method}
        meant = evaluation.context["desirable"] is None and not arms & {"scratch", "control"}
        return Cell("not given" if meant else "n/a"), Cell("–")
    accuracy = Cell(f"{value.mean:.2f} %", interval(value, 2, bounded=True))
    if plain in (None, method):
        return accuracy, Cell("–")
    return accuracy, change(
        metrics.paired(own, metrics.desirable(evaluation, str(plain))), wanted="high"
    )


def _effort(evaluation: Evaluation, method: str) -> tuple[Cell, Cell]:
    """Return seconds of training, and failed trials."""
    seconds = [one.seconds for one in evaluation.trainings if one.method == method]
    failed, total = metrics.failures(evaluation, method)
    mean = f"{sum(seconds) / len(seconds):.1f} s" if any(seconds) else "–"
    return Cell(mean), Cell(f"{failed} of {total}")


def steps(evaluation: Evaluation) -> Table:
    """Return the table of steps until an attacker catches up with the undefended model."""
    # What is solved at once, as most probes are, costs operations, not steps.
    taken = [one for one in evaluation.records if one.steps and one.steps[-1] > 0]
    stepwise = {name for one in taken for name in (one.family, one.tier)} - {"probe"}
    families = [name for name in metrics.columns(evaluation) if name in stepwise]
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
        ("method", *(f"{name}: {100 * share:.0f} %" for name, _ in columns for share in SHARES)),
        tuple(rows),
    )


def _steps_cell(reached: list[int | None]) -> Cell:
    if not reached:
        return Cell("n/a")
    missing = sum(step is None for step in reached)
    some = 0 < missing < len(reached)
    note = f"{missing} of {len(reached)} seeds not reached" if some else ""
    median = metrics.median_steps(reached)
    if median is None:
        return Cell("not reached", note, "good")
    return Cell(f"{median:g}", note)


def advantages(evaluation: Evaluation) -> Table:
    """Return the table of what weights are worth beyond random ones."""
    budgets = metrics.budgets(evaluation)
    families = [*metrics.columns(evaluation), None]
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


def accuracies(evaluation: Evaluation) -> Table:
    """Return the table of the attacker's accuracies."""
    families = metrics.columns(evaluation)
    rows = tuple(
        (
            Cell(method),
            Cell(in_words(labels)),
            *(_reached(evaluation, method, labels, family) for family in families),
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
