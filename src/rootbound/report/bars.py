"""The first figure of a report: what attackers reach from each arm, one panel per budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rootbound.metrics import Estimate
from rootbound.metrics import measures as metrics
from rootbound.records import Evaluation
from rootbound.report.cases import Case
from rootbound.report.cells import in_words
from rootbound.report.theme import FAINT, INK, assign_colours

ARM_WIDTH, LEAST_WIDTH, HEIGHT = 0.9, 2.7, 1.9
"""Width of a panel for each arm, so that names of arms do not touch; its least width, and height;
in inches."""
UNRELIABLE: dict[str, Any] = {"hatch": "////", "alpha": 0.45, "edgecolor": INK, "color": FAINT}
"""Style of unreliable bars: grey, faint and hatched."""


def draw_bars(case: Case) -> Figure | None:
    """Draw what attackers reach from each arm with each number of labels, with 95 % intervals.

    Args:
        case: The defended method.
    """
    evaluation = case.evaluation
    budgets = sorted(
        metrics.budgets(evaluation), key=lambda labels: math.inf if labels is None else labels
    )
    arms = list_arms(evaluation, case.method)
    reached = {
        labels: {
            arm: value
            for arm, method in arms.items()
            if (value := metrics.points(metrics.attacked(evaluation, method, labels)))
        }
        for labels in budgets
    }
    if not any(reached.values()):
        return None
    size = (max(LEAST_WIDTH, ARM_WIDTH * len(arms)) * len(budgets) + 0.5, HEIGHT)
    figure, panels = plt.subplots(
        1, len(budgets), figsize=size, squeeze=False, sharey=True, layout="constrained"
    )
    colours = assign_colours(metrics.methods(evaluation))
    for panel, labels in zip(panels[0], budgets, strict=True):
        _draw(
            panel,
            reached[labels],
            {arm: colours[method] for arm, method in arms.items()},
            reliable=not case.why_unreliable,
        )
        panel.set_title(in_words(labels))
        panel.tick_params(labelleft=True)
    majority = 100 * float(evaluation.context["undesirable"]["majority"])
    highest = max(_end(value) for values in reached.values() for value in values.values())
    for panel in panels[0]:
        panel.axhline(majority, color=FAINT, linewidth=1, linestyle=":")
        panel.set_ylim(0, 108.0 if highest > 60 else 10 * math.ceil(highest / 10 + 0.5))
    panels[0][0].set_ylabel("attacker's accuracy, %")
    return figure


def list_arms(evaluation: Evaluation, method: str) -> dict[str, str]:
    """Return the arms beside a defended method in the order of the figure, and their methods."""
    arms = {
        "undefended": metrics.undefended(evaluation),
        "defended": method,
        "public": metrics.public(evaluation),
        "scratch": "scratch" if "scratch" in metrics.methods(evaluation) else None,
    }
    return {arm: name for arm, name in arms.items() if name is not None}


def _draw(
    panel: Axes, reached: Mapping[str, Estimate], colours: Mapping[str, str], *, reliable: bool
) -> None:
    panel.grid(visible=False, axis="x")
    panel.set_xticks(range(len(colours)), list(colours), fontsize=8.5)
    panel.set_xlim(-0.6, len(colours) - 0.4)
    for place, (arm, colour) in enumerate(colours.items()):
        if arm not in reached:
            continue
        value = reached[arm]
        look = {"color": colour} if reliable or arm != "defended" else UNRELIABLE
        panel.bar([place], [value.mean], width=0.66, linewidth=0.0, **look)
        if math.isfinite(value.low):
            below, above = value.mean - max(value.low, 0.0), min(value.high, 100.0) - value.mean
            panel.errorbar(
                [place], [value.mean], yerr=[[below], [above]], fmt="none", ecolor=INK,
                elinewidth=1, capsize=3,
            )  # fmt: skip
        panel.annotate(
            f"{value.mean:.1f}", (place, _end(value)), xytext=(0, 2), textcoords="offset points",
            ha="center", fontsize=8.5,
        )  # fmt: skip


def _end(value: Estimate) -> float:
    """Return the upper end of the interval; the bar's number is written above it."""
    return min(value.high, 100.0) if math.isfinite(value.high) else value.mean
