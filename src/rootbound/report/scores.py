"""Further tables of a report: scores and costs, the benign task, every family of attacks."""

from __future__ import annotations

from collections.abc import Sequence

from rootbound.metrics import measures as metrics
from rootbound.metrics.costs import Unit
from rootbound.records import Evaluation
from rootbound.report.attack_names import describe_attack
from rootbound.report.cells import Cell, Table, change, in_words, interval, percent, times

MOST_METHODS = 7
"""Most methods in the columns of one table."""
STRONGEST = {
    False: "The realistic attacker chooses among all attacks by its own validation samples: with "
    "few labels that is a lottery, which may end below the median.",
    True: "The strongest attack is that of the well-tuned attacker: the mean of the three "
    "strongest families of attacks (of a quarter of them, where there are fewer than twelve), "
    "which are chosen by their mean over draws of labels on one half of the test set and judged "
    "on the other, and the other way round. The realistic attacker chooses among all attacks by "
    "its own validation samples.",
}
"""Who the attacker of headlines is, by whether records know the well-tuned one."""


def tabulate_resistance(evaluation: Evaluation) -> Table:
    """Return the table of the worst case and the resistance score in every cell."""
    rows = tuple(
        _make_row(evaluation, method, labels)
        for method in metrics.methods(evaluation)
        for labels in metrics.budgets(evaluation)
        if metrics.attacked(evaluation, method, labels)
    )
    well_tuned = metrics.is_well_tuned(evaluation)
    return Table(
        "Worst case and resistance",
        f"{STRONGEST[well_tuned]} The median is over families of attacks; the upper bound is the "
        "highest point of any curve, chosen on test samples. The longer run is the best setting "
        "with many times the steps. Resistance: the share of what transfer gains over scratch that "
        "the defence takes away (0 none, 1 as from scratch); n/a where it gains less than one "
        "point. Multiples: how many times the steps and operations that scratch needs for 95 % of "
        "what it reaches; medians by Kaplan and Meier, 'not reached' where more than half of the "
        "attackers never get there.",
        (
            "method", "labels", *(["strongest attack"] if well_tuned else []), "realistic attacker",
            "median attack", "upper bound", "longer run", "resistance", "steps", "operations",
        ),
        rows,
    )  # fmt: skip


def _make_row(evaluation: Evaluation, method: str, labels: int | None) -> tuple[Cell, ...]:
    median = metrics.median_attack(evaluation, method, labels)
    longer = metrics.longer_run(evaluation, method, labels)
    realistic = metrics.realistic(evaluation, method, labels)
    return (
        Cell(method),
        Cell(in_words(labels)),
        percent(metrics.points(metrics.attacked(evaluation, method, labels))),
        *([percent(metrics.points(realistic))] if metrics.is_well_tuned(evaluation) else []),
        Cell("n/a" if median is None else f"{median:.1f} %"),
        percent(metrics.upper_bound(evaluation, method, labels)),
        Cell("–" if longer is None else f"{longer:.1f} %"),
        _score(evaluation, method, labels),
        _show_multiple(evaluation, method, labels, "steps"),
        _show_multiple(evaluation, method, labels, "flops"),
    )


def _score(evaluation: Evaluation, method: str, labels: int | None) -> Cell:
    if method in ("scratch", metrics.undefended(evaluation), metrics.public(evaluation)):
        return Cell("–")
    value = metrics.resistance(evaluation, method, labels)
    return Cell("n/a") if value is None else Cell(f"{value.mean:.2f}", interval(value, 2))


def _show_multiple(evaluation: Evaluation, method: str, labels: int | None, unit: Unit) -> Cell:
    if method == "scratch":
        return Cell("–")
    pairs = metrics.multiples(evaluation, method, labels, unit)
    if not pairs:
        return Cell("n/a")
    median = metrics.kaplan_meier_median(pairs)
    missed = sum(not reached for _, reached in pairs)
    note = f"{missed} of {len(pairs)} not reached" if 0 < missed < len(pairs) else ""
    return Cell("not reached", note, "good") if median is None else Cell(times(median), note)


def tabulate_benign(evaluation: Evaluation) -> Table | None:
    """Return the table of the benign task, which must stay learnable; None where there is none."""
    plain = metrics.undefended(evaluation)
    records = (record for record in evaluation.records if record.task == "benign")
    budgets = list(dict.fromkeys(record.labels for record in records))
    if not budgets:
        return None
    rows = []
    for method in metrics.methods(evaluation):
        cells = [Cell(method)]
        for labels in budgets:
            own = metrics.benign(evaluation, method, labels)
            cells.append(percent(metrics.points(own)))
            usual = {} if plain in (None, method) else metrics.benign(evaluation, plain, labels)
            difference = metrics.paired(own, usual)
            cells.append(Cell("–") if difference is None else change(difference, wanted="high"))
        rows.append(tuple(cells))
    columns = (text for labels in budgets for text in (in_words(labels), "change"))
    return Table(
        "The benign task",
        "Accuracy of the strongest attack on a harmless third task (which way up the desirable "
        "images are), and its change against the undefended model in points: a model that is "
        "merely broken learns nothing.",
        ("method", *columns),
        tuple(rows),
    )


def tabulate_families(evaluation: Evaluation) -> list[Table]:
    """Return tables of every family of attacks, where the other tables have only tiers.

    There is one for each number of labels, or more where methods are many.
    """
    names = metrics.families(evaluation)
    if len(names) <= len(metrics.columns(evaluation)):
        return []
    return [
        _tabulate_some(evaluation, names, labels, methods)
        for labels in metrics.budgets(evaluation)
        for methods in _in_parts(metrics.methods(evaluation))
    ]


def _in_parts(methods: Sequence[str]) -> list[Sequence[str]]:
    """Return the methods in groups that are small enough for a table."""
    return [methods[i : i + MOST_METHODS] for i in range(0, len(methods), MOST_METHODS)]


def _tabulate_some(
    evaluation: Evaluation, names: Sequence[str], labels: int | None, methods: Sequence[str]
) -> Table:
    rows = []
    for name in names:
        reached = (
            metrics.points(metrics.attacked(evaluation, method, labels, name)) for method in methods
        )
        texts = ("–" if value is None else f"{value.mean:.1f} %" for value in reached)
        rows.append((Cell(describe_attack(name)), *map(Cell, texts)))
    return Table(
        f"Every family of attacks, {in_words(labels)}: {', '.join(methods)}",
        "The attacker's accuracy with the setting of the family that validation chose. It is that "
        "of the one attacker of the screening where no setting of the family was among the best "
        "of its tier, else that of the attackers of the confirmation.",
        ("family", *methods),
        tuple(rows),
    )
