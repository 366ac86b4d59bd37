"""Names beside the points of a figure, clear of each other and of the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

Spot = tuple[float, float]

BESIDE = (6.0, -3.0)
"""From a spot to the lower left of its name, in points of print."""
RADIUS, STEP, FAR = 3.0, 2.0, 8.0
"""Of a spot; by how much names give way; from where on a line leads to them. In points."""


def write_names(
    figure: Figure, panel: Axes, spots: Sequence[Spot], names: Sequence[str], colours: Sequence[str]
) -> None:
    """Write a name beside each spot, below other names and spots that are in its way.

    To be called last: where anything is, is known only when scales and limits are.
    """
    figure.draw_without_rendering()
    pixels = figure.dpi / 72
    taken = [
        Bbox.from_bounds(x, y, 0, 0).padded(RADIUS * pixels)
        for x, y in map(panel.transData.transform, spots)
    ]
    for number in sorted(range(len(spots)), key=lambda number: -spots[number][1]):
        look: dict[str, Any] = {
            "text": names[number], "xy": spots[number], "textcoords": "offset points",
            "fontsize": 8, "color": colours[number],
        }  # fmt: skip
        measured = panel.annotate(xytext=BESIDE, **look)
        box, down = measured.get_window_extent(), 0.0
        measured.remove()
        while any(box.overlaps(other) for other in taken):
            box, down = box.translated(0, -STEP * pixels), down + STEP
        taken.append(box)
        arrow = _leader(colours[number]) if down > FAR else None
        panel.annotate(xytext=(BESIDE[0], BESIDE[1] - down), arrowprops=arrow, **look)


def _leader(colour: str) -> dict[str, object]:
    """Return the look of a line from a name to its point, where others came between."""
    return {
        "arrowstyle": "-", "color": colour, "alpha": 0.5, "linewidth": 0.7,
        "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 2,
    }  # fmt: skip
