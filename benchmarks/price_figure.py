"""The frontier of a table of photographs: what models lose, and what is left to the attacker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from rootbound.core.files import write_atomically
from rootbound.report.point_names import write_names
from rootbound.report.theme import styled, to_svg


@dataclass(frozen=True)
class Spot:
    """One model of a frontier.

    Args:
        name: written beside it.
        lost: desirable accuracy, in points.
        advantage: over random weights, in points.
        settings: of its method; ours is drawn in another colour.
    """

    name: str
    lost: float
    advantage: float
    settings: str

    @property
    def colour(self) -> str:
        """Of the theme's cycle."""
        # Of ours alone, its variants included, the settings say how long it waits.
        return "C1" if "wait=" in self.settings else "C0"


@dataclass(frozen=True)
class Panel:
    """All models under attack with one number of labels.

    Args:
        labels: a class.
        spots: the models.
        control: features of unrelated data, drawn as a line: what no defence that keeps features
            of any kind can be asked to fall far below; None without.
    """

    labels: int
    spots: Sequence[Spot]
    control: Spot | None = None

    def draw(self, axes: Axes) -> None:
        """Draw all but the names, for which every panel must be in its place."""
        axes.axhline(0, linewidth=1, color="0.7")
        if self.control is not None:
            height = self.control.advantage
            axes.axhline(height, linestyle="--", linewidth=1, color="0.4")
            axes.annotate(
                self.control.name, (0, height), xycoords=("axes fraction", "data"),
                xytext=(2, 3), textcoords="offset points", fontsize=8,
            )  # fmt: skip
        lost, advantages = [one.lost for one in self.spots], [one.advantage for one in self.spots]
        axes.scatter(lost, advantages, c=[one.colour for one in self.spots], s=30)
        axes.margins(x=0.3, y=0.15)
        axes.set_title(f"{self.labels} labels a class", fontsize=10)
        axes.set_xlabel("desirable accuracy lost, points")


def price_figure(panels: Sequence[Panel], file: Path) -> None:
    """Draw the panels side by side."""
    with styled():
        size = (5 + 3 * len(panels), 6.5)
        figure, (places,) = plt.subplots(
            1, len(panels), figsize=size, layout="constrained", sharey=True, squeeze=False
        )
        for panel, axes in zip(panels, places, strict=True):
            panel.draw(axes)
        places[0].set_ylabel("advantage over random weights, points")
        for panel, axes in zip(panels, places, strict=True):
            spots = [(one.lost, one.advantage) for one in panel.spots]
            names, colours = zip(*((one.name, one.colour) for one in panel.spots), strict=True)
            write_names(figure, axes, spots, names, colours)
        write_atomically(file, to_svg(figure))
