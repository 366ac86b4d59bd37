"""Transfer curves: the attacker's accuracy against steps, and against labels."""

from __future__ import annotations

import math
import statistics
import textwrap

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rootbound import metrics
from rootbound.records import Evaluation
from rootbound.report.cells import in_words
from rootbound.report.theme import FAINT, colours, dashes

WRAPPED = 34
"""Letters of a title that fit over a panel."""


def against_steps(evaluation: Evaluation, *, losses: bool = False) -> Figure:
    """Return a panel for each family and budget: accuracy over steps, a line a method.

    Each line is the mean over seeds of the validation-selected trial; the band spans them.

    Args:
        evaluation: what was measured.
        losses: show the cross-entropy in place of the accuracy.
    """
    families = _with_course(evaluation)
    budgets = metrics.budgets(evaluation)
    figure, panels = plt.subplots(
        len(budgets),
        len(families),
        figsize=(2.6 * len(families) + 0.6, 2.0 * len(budgets) + 0.8),
        sharex="row",
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for row, labels in zip(panels, budgets, strict=True):
        for panel, family in zip(row, families, strict=True):
            _steps_panel(panel, evaluation, labels, family, losses)
        row[0].set_ylabel(f"{in_words(labels)}\n{'loss, nats' if losses else 'accuracy, %'}")
    for panel, family in zip(panels[0], families, strict=True):
        panel.set_title(textwrap.fill(family, WRAPPED))
    for panel in panels[-1]:
        panel.set_xlabel("attacker's steps")
    _legend(figure, panels[0][0])
    return figure


def against_labels(evaluation: Evaluation) -> Figure:
    """Return a panel for each family, and one for the strongest: accuracy over labels."""
    families: list[str | None] = [*metrics.columns(evaluation), None]
    columns = (len(families) + 1) // 2 if len(families) > 4 else len(families)
    rows = -(-len(families) // columns)
    figure, panels = plt.subplots(
        rows,
        columns,
        figsize=(2.9 * columns + 0.6, 2.3 * rows + 0.6),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for panel, family in zip(panels.flat, families, strict=False):
        _labels_panel(panel, evaluation, family)
    for panel in panels.flat[len(families) :]:
        panel.set_visible(False)
    for row in panels:
        row[0].set_ylabel("accuracy, %")
    _legend(figure, panels[0][0])
    return figure


def against_trials(evaluation: Evaluation) -> Figure:
    """Return a panel for each budget: the attacker's choice after one trial, two, and so on."""
    budgets = [labels for labels in metrics.budgets(evaluation) if labels != 1]
    figure, panels = plt.subplots(
        1, len(budgets), figsize=(3.2 * len(budgets) + 0.6, 2.8), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for panel, labels in zip(panels[0], budgets, strict=True):
        styles = dashes(metrics.methods(evaluation))
        for method, colour in colours(metrics.methods(evaluation)).items():
            heights = [100 * one for one in metrics.best_so_far(evaluation, method, labels)]
            panel.plot(
                range(1, len(heights) + 1),
                heights,
                styles[method],
                color=colour,
                linewidth=1.6,
                label=method,
            )
        panel.set_title(in_words(labels))
        panel.set_xlabel("trials, in the suite's order")
        _finish(panel, evaluation)
    panels[0][0].set_ylabel("accuracy, %")
    _legend(figure, panels[0][0])
    return figure


def _with_course(evaluation: Evaluation) -> list[str]:
    """Return the families of which some trial is scored on its way; what is solved at once is not.

    Without any, all of them.
    """
    columns = metrics.columns(evaluation)
    stepped = {one.family for one in evaluation.records if any(step > 0 for step in one.steps)}
    return [name for name in columns if name in stepped] or columns


def _steps_panel(
    panel: Axes, evaluation: Evaluation, labels: int | None, family: str, losses: bool
) -> None:
    names = metrics.methods(evaluation)
    styles = dashes(names)
    for method, colour in colours(names).items():
        records = metrics.selected(evaluation, method, labels, family).values()
        curves = [
            {
                step: one if losses else 100 * one
                for step, one in zip(record.steps, shown, strict=True)
            }
            for record in records
            if (shown := record.losses if losses else record.test)
        ]
        common = sorted(set.intersection(*map(set, curves))) if curves else []
        if not common:
            continue
        heights = [[curve[step] for curve in curves] for step in common]
        middle = [statistics.fmean(values) for values in heights]
        panel.plot(common, middle, styles[method], color=colour, linewidth=1.6, label=method)
        low, high = [min(values) for values in heights], [max(values) for values in heights]
        panel.fill_between(common, low, high, color=colour, alpha=0.15, linewidth=0)
    panel.set_xscale("log")
    same = (record for record in evaluation.records if record.labels == labels)
    scored = sorted({step for record in same for step in record.steps} - {0})
    last = max(one["steps"] for one in evaluation.context["budgets"] if one["labels"] == labels)
    # A tick where models were scored; the last step only if its number has room.
    ticks = [step for step in scored if step <= last / 1.6] + [last]
    panel.set_xticks(ticks, [str(step) for step in ticks])
    panel.minorticks_off()
    if not losses:
        _finish(panel, evaluation)


def _labels_panel(panel: Axes, evaluation: Evaluation, family: str | None) -> None:
    budgets, styles = metrics.budgets(evaluation), dashes(metrics.methods(evaluation))
    for method, colour in colours(metrics.methods(evaluation)).items():
        found = [
            (position, values)
            for position, labels in enumerate(budgets)
            if (values := metrics.attacked(evaluation, method, labels, family))
        ]
        if not found:
            continue
        middle = [100 * statistics.fmean(values.values()) for _, values in found]
        positions = [position for position, _ in found]
        style = f"o{styles[method]}"
        panel.plot(
            positions, middle, style, color=colour, markersize=3.5, linewidth=1.6, label=method
        )
        low = [100 * min(values.values()) for _, values in found]
        high = [100 * max(values.values()) for _, values in found]
        panel.fill_between(positions, low, high, color=colour, alpha=0.15, linewidth=0)
    panel.set_title(textwrap.fill(family or "strongest attack", WRAPPED))
    panel.set_xticks(range(len(budgets)), ["all" if one is None else str(one) for one in budgets])
    panel.set_xlabel("labels a class")
    _finish(panel, evaluation)


def _finish(panel: Axes, evaluation: Evaluation) -> None:
    majority = 100 * float(evaluation.context["undesirable"]["majority"])
    panel.axhline(majority, color=FAINT, linewidth=1, linestyle=":")
    panel.set_ylim(0, _top(evaluation))


def _top(evaluation: Evaluation) -> float:
    """Return where the accuracy's axis ends: at 100 %, unless nothing comes near."""
    highest = max((100 * max(one.test) for one in evaluation.records if one.test), default=100.0)
    return 102.0 if highest > 60 else 10 * math.ceil(highest / 10 + 0.2)


def _legend(figure: Figure, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5) or 1)
