"""Names beside the points of a figure, clear of each other and of the points."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Spot = tuple[float, float]

LINE, LETTER = 9.5, 4.6
"""Height of a name and width of a letter, in points of print."""
SIZE = 8
"""Of letters."""


def write_names(
    figure: Figure, panel: Axes, spots: Sequence[Spot], names: Sequence[str], colours: Sequence[str]
) -> None:
    """Write a name beside each spot, below other names and spots that are in its way.

    To be called last: where anything is, is known only when scales and limits are.
    """
    figure.draw_without_rendering()
    places = [panel.transData.transform(spot) * 72 / figure.dpi for spot in spots]
    # What is in the way, from where to where across, and how high.
    taken = [(x - 3, x + 3, y) for x, y in places]
    for number in sorted(range(len(spots)), key=lambda number: -spots[number][1]):
        across, up = places[number]
        left, right, height = across + 5, across + 6 + LETTER * len(names[number]), up + 5
        while any(abs(height - y) < LINE and x < right and left < end for x, end, y in taken):
            height -= LINE / 4
        taken.append((left, right, height))
        panel.annotate(
            names[number], spots[number], textcoords="offset points",
            xytext=(6, height - up - 3), fontsize=SIZE, color=colours[number],
            arrowprops=_leader(colours[number]) if up - height > LINE else None,
        )  # fmt: skip


def _leader(colour: str) -> dict[str, object]:
    """Return the look of a line from a name to its point, where others came between."""
    return {
        "arrowstyle": "-", "color": colour, "alpha": 0.5, "linewidth": 0.7,
        "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 2,
    }  # fmt: skip
