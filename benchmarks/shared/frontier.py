"""The frontier of a table of photographs: what models lose, and what is left to the attacker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.shared.photographs import CLOTHES, RANDOM
from rootbound.core.files import write_atomically
from rootbound.report.leaderboard.frontier import write_names
from rootbound.report.theme import styled, to_svg


@dataclass(frozen=True)
class Worth:
    """What one model keeps and what it is worth to attackers, in percent.

    Args:
        name: The name that is written beside its point.
        ours: Whether its method is `BestResponse`, which has a colour of its own.
        desirable: Accuracy on the desirable task.
        few: Accuracy of the strongest attack with 10 labels per class.
        more: Accuracy of the strongest attack with 100 labels per class.
    """

    name: str
    ours: bool
    desirable: float
    few: float
    more: float


def draw_frontier(models: Sequence[Worth], file: Path) -> None:
    """Draw what every model costs against its advantage over random weights, by labels.

    Args:
        models: The models, with `Plain` and random weights among them. Features of clothes are
            drawn as a line, if they are there: no defence that keeps features of any kind can be
            asked to fall far below it.
        file: The SVG file to write.
    """
    by_name = {model.name: model for model in models}
    plain, scratch = by_name["Plain"], by_name.pop(RANDOM)
    control = by_name.pop(CLOTHES, None)
    shown = list(by_name.values())
    lost = [plain.desirable - model.desirable for model in shown]
    colours = ["C1" if model.ours else "C0" for model in shown]
    with styled():
        figure, (panels,) = plt.subplots(
            1, 2, figsize=(11, 6.5), layout="constrained", sharey=True, squeeze=False
        )
        points = []
        for axes, labels, field in zip(panels, (10, 100), ("few", "more"), strict=True):
            floor = getattr(scratch, field)
            advantages = [getattr(model, field) - floor for model in shown]
            points.append(list(zip(lost, advantages, strict=True)))
            axes.axhline(0, linewidth=1, color="0.7")
            if control is not None:
                _draw_control(axes, control.name, getattr(control, field) - floor)
            axes.scatter(lost, advantages, c=colours, s=30)
            axes.margins(x=0.3, y=0.15)
            axes.set_title(f"{labels} labels per class", fontsize=10)
            axes.set_xlabel("desirable accuracy lost, points")
        panels[0].set_ylabel("advantage over random weights, points")
        # Names must not overlap, so every panel needs its final place before they are written.
        names = [model.name for model in shown]
        for axes, spots in zip(panels, points, strict=True):
            write_names(figure, axes, spots, names, colours)
        write_atomically(file, to_svg(figure))


def _draw_control(axes: Axes, name: str, height: float) -> None:
    axes.axhline(height, linestyle="--", linewidth=1, color="0.4")
    axes.annotate(
        name, (0, height), xycoords=("axes fraction", "data"),
        xytext=(2, 3), textcoords="offset points", fontsize=8,
    )  # fmt: skip
