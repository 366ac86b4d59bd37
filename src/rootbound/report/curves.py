"""Transfer curves: the attacker's accuracy against steps, labels and trials."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rootbound.metrics import measures as metrics
from rootbound.records import Evaluation
from rootbound.report.attack_names import describe_attack
from rootbound.report.cells import in_words
from rootbound.report.theme import FAINT, lines

Looks = Mapping[str, dict[str, Any]]
"""How to draw the line of each method."""
TITLE_WIDTH = 34
"""Letters of a title that fit over a panel."""


def against_steps(
    evaluation: Evaluation, doubtful: Collection[str] = (), *, losses: bool = False
) -> Figure:
    """Return a panel for each family and budget: accuracy over steps, one line per method.

    Each line is the mean over draws of the trial that validation chose; the band spans the draws.

    Args:
        evaluation: Everything that was measured.
        doubtful: Names of the unreliable methods.
        losses: Whether to show the cross-entropy in place of the accuracy.
    """
    looks = lines(metrics.methods(evaluation), doubtful)
    families, budgets = list_stepwise_families(evaluation), metrics.budgets(evaluation)
    figure, panels = _make_panels(len(budgets), len(families), (2.6, 2.0), 0.8, sharex="row")
    for row, labels in zip(panels, budgets, strict=True):
        for panel, family in zip(row, families, strict=True):
            _draw_steps(panel, evaluation, looks, labels, family, losses)
        row[0].set_ylabel(f"{in_words(labels)}\n{'loss, nats' if losses else 'accuracy, %'}")
    for panel, family in zip(panels[0], families, strict=True):
        panel.set_title(textwrap.fill(describe_attack(family), TITLE_WIDTH))
    for panel in panels[-1]:
        panel.set_xlabel("attacker's steps")
    _add_legend(figure, panels[0][0])
    return figure


def against_labels(evaluation: Evaluation, doubtful: Collection[str] = ()) -> Figure:
    """Return a panel for each family, and one for the strongest attack: accuracy over labels."""
    looks = lines(metrics.methods(evaluation), doubtful)
    families: list[str | None] = [*metrics.columns(evaluation), None]
    columns = (len(families) + 1) // 2 if len(families) > 4 else len(families)
    figure, panels = _make_panels(-(-len(families) // columns), columns, (2.9, 2.3), 0.6)
    for panel, family in zip(panels.flat, families, strict=False):
        _draw_labels(panel, evaluation, looks, family)
    for panel in panels.flat[len(families) :]:
        panel.set_visible(False)
    for row in panels:
        row[0].set_ylabel("accuracy, %")
    _add_legend(figure, panels[0][0])
    return figure


def of_strongest(evaluation: Evaluation) -> Figure:
    """Return one panel, for the strongest attack: accuracy over labels."""
    figure, panels = _make_panels(1, 1, (4.2, 2.6), 0.6)
    _draw_labels(panels[0][0], evaluation, lines(metrics.methods(evaluation)), None)
    panels[0][0].set_ylabel("accuracy, %")
    _add_legend(figure, panels[0][0])
    return figure


def against_trials(evaluation: Evaluation, doubtful: Collection[str] = ()) -> Figure:
    """Return a panel for each budget: the attacker's choice after one trial, two, and so on."""
    looks = lines(metrics.methods(evaluation), doubtful)
    budgets = [labels for labels in metrics.budgets(evaluation) if labels != 1]
    figure, panels = _make_panels(1, len(budgets), (3.2, 2.8), 0.0)
    for panel, labels in zip(panels[0], budgets, strict=True):
        for method, line in looks.items():
            reached = metrics.best_so_far(evaluation, method, labels)
            panel.plot(range(1, len(reached) + 1), [100 * value for value in reached], **line)
        panel.set_title(in_words(labels))
        panel.set_xlabel("trials, in the suite's order")
        _finish(panel, evaluation)
    panels[0][0].set_ylabel("accuracy, %")
    _add_legend(figure, panels[0][0])
    return figure


def _make_panels(
    rows: int, columns: int, size: tuple[float, float], below: float, **options: Any
) -> tuple[Figure, Any]:
    """Return a figure and its panels, each of a size in inches, with room for a legend below."""
    width, height = size[0] * columns + 0.6, size[1] * rows + below
    figure, panels = plt.subplots(
        rows, columns, figsize=(width, height), sharey=True, squeeze=False, layout="constrained",
        **options,
    )  # fmt: skip
    for panel in panels.flat:
        panel.tick_params(labelleft=True)  # on a narrow page a panel is shown alone
    return figure, panels


def list_stepwise_families(evaluation: Evaluation) -> list[str]:
    """Return the families with a trial that is scored several times; all if there is none.

    An attack that is solved at once has no curve.
    """
    columns = metrics.columns(evaluation)
    on_its_way = [record for record in evaluation.records if any(record.steps)]
    stepwise = {name for one in on_its_way for name in (one.family, one.tier)} - {"probe"}
    return [name for name in columns if name in stepwise] or columns


def _draw_steps(
    panel: Axes,
    evaluation: Evaluation,
    looks: Looks,
    labels: int | None,
    family: str,
    losses: bool,
) -> None:
    for method, line in looks.items():
        records = metrics.selected(evaluation, method, labels, family).values()
        curves = [
            {step: value for step, value in zip(record.steps, values, strict=True)
             if value is not None}
            for record in records
            if (values := record.losses if losses else record.test)
        ]  # fmt: skip
        # A logarithmic axis has no place for attacks that are solved at once, at step 0.
        if curves and (common := sorted(set.intersection(*map(set, curves)) - {0})):
            unit = 1 if losses else 100
            values_at = [[unit * curve[step] for curve in curves] for step in common]
            _draw_mean(panel, common, values_at, line)
    panel.set_xscale("log")
    in_row = (record for record in evaluation.records if record.labels == labels)
    scored = sorted({step for record in in_row for step in record.steps} - {0})
    budgets = evaluation.context["budgets"]
    last = max(budget["steps"] for budget in budgets if budget["labels"] == labels)
    # Ticks are where models were scored; the one before the last only if its number has room.
    ticks = [step for step in scored if step <= last / 1.6] + [last]
    panel.set_xticks(ticks, [str(step) for step in ticks])
    panel.minorticks_off()
    if not losses:
        _finish(panel, evaluation)


def _draw_labels(panel: Axes, evaluation: Evaluation, looks: Looks, family: str | None) -> None:
    budgets = metrics.budgets(evaluation)
    for method, line in looks.items():
        values_at = {
            position: [100 * value for value in values.values()]
            for position, labels in enumerate(budgets)
            if (values := metrics.attacked(evaluation, method, labels, family))
        }
        if values_at:
            look = line | {"marker": "o", "markersize": 3.5}
            _draw_mean(panel, list(values_at), list(values_at.values()), look)
    panel.set_title(textwrap.fill(describe_attack(family or "strongest attack"), TITLE_WIDTH))
    counts = ["all" if labels is None else str(labels) for labels in budgets]
    panel.set_xticks(range(len(budgets)), counts)
    panel.set_xlabel("labels per class")
    _finish(panel, evaluation)


def _draw_mean(
    panel: Axes, positions: Sequence[int], values: Sequence[Sequence[float]], line: dict[str, Any]
) -> None:
    """Draw the mean of the values at each position, and a band that spans them."""
    panel.plot(positions, [statistics.fmean(several) for several in values], **line)
    low, high = [min(several) for several in values], [max(several) for several in values]
    if len(positions) > 1:
        panel.fill_between(positions, low, high, color=line["color"], alpha=0.15, linewidth=0)
    else:  # a band over a single position has no width
        panel.vlines(positions, low, high, color=line["color"], alpha=0.5)


def _finish(panel: Axes, evaluation: Evaluation) -> None:
    """Draw the accuracy of the most frequent class, and end the axis where nothing is higher."""
    majority = 100 * float(evaluation.context["undesirable"]["majority"])
    panel.axhline(majority, color=FAINT, linewidth=1, linestyle=":")
    tests = [record.test for record in evaluation.records if record.test]
    highest = max((100 * max(test) for test in tests), default=100.0)
    panel.set_ylim(0, 102.0 if highest > 60 else 10 * math.ceil(highest / 10 + 0.2))


def _add_legend(figure: Figure, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5) or 1)
