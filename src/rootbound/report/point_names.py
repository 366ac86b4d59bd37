"""Names beside the points of a figure, clear of each other and of the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

Spot = tuple[float, float]
"""Where a point is, in the units of the axes."""
LABEL_OFFSET = (6.0, -3.0)
"""Distance from a spot to the lower left corner of its name, in points of print."""
MARKER_RADIUS = 3.0
"""Radius of a spot that names keep clear of, in points."""
LABEL_STEP = 2.0
"""Distance by which a name moves down until nothing is in its way, in points."""
LEADER_FROM = 8.0
"""Distance from which on a line leads from the name to its spot, in points."""


def write_names(
    figure: Figure, panel: Axes, spots: Sequence[Spot], names: Sequence[str], colours: Sequence[str]
) -> None:
    """Write a name beside each spot, below other names and spots that are in its way.

    Call this last: positions on paper are known only when scales and limits are.
    """
    figure.draw_without_rendering()
    pixels = figure.dpi / 72
    taken = [
        Bbox.from_bounds(x, y, 0, 0).padded(MARKER_RADIUS * pixels)
        for x, y in map(panel.transData.transform, spots)
    ]
    for number in sorted(range(len(spots)), key=lambda number: -spots[number][1]):
        look: dict[str, Any] = {
            "text": names[number], "xy": spots[number], "textcoords": "offset points",
            "fontsize": 8, "color": colours[number],
        }  # fmt: skip
        trial = panel.annotate(xytext=LABEL_OFFSET, **look)
        box, down = trial.get_window_extent(), 0.0
        trial.remove()
        while any(box.overlaps(other) for other in taken):
            box, down = box.translated(0, -LABEL_STEP * pixels), down + LABEL_STEP
        taken.append(box)
        leader = {
            "arrowstyle": "-", "color": colours[number], "alpha": 0.5, "linewidth": 0.7,
            "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 2,
        }  # fmt: skip
        panel.annotate(
            xytext=(LABEL_OFFSET[0], LABEL_OFFSET[1] - down),
            arrowprops=leader if down > LEADER_FROM else None,
            **look,
        )
