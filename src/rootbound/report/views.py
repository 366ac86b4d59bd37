"""Views of a figure's panels: on a narrow page they stand one below the other, each with its name.

A view shows a part of the one drawing that the page holds, so that nothing is drawn twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from rootbound.report.theme import missing_letters_allowed

POINTS = 72.0
"""Points per inch; matplotlib's SVG files use points."""
MARGIN = 3.0
"""Points around a panel."""


@dataclass(frozen=True)
class View:
    """A panel: its name, and where it lies in the SVG (left, top, width, height)."""

    name: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Key:
    """An entry of the legend: name, colour, and whether its line is solid."""

    name: str
    colour: str
    is_solid: bool


@dataclass(frozen=True)
class Panels:
    """The panels of a figure, what all of them share, and the width of the whole in points."""

    views: tuple[View, ...] = ()
    keys: tuple[Key, ...] = ()
    axes: str = ""
    width: float = 0.0


def find_panels(figure: Figure) -> Panels:
    """Return where the panels of a figure lie; none where it is one picture of many tiles.

    Call this after the figure has been drawn, because places are not known before.
    """
    with missing_letters_allowed():
        tight = figure.get_tightbbox().padded(float(mpl.rcParams["savefig.pad_inches"]))
    width = round(float(tight.width) * POINTS, 1)
    shown = [panel for panel in figure.axes if panel.get_visible() and panel.axison]
    if len(shown) < 2:
        return Panels(width=width)
    views = []
    for panel in shown:
        inches = _find_extent(panel).transformed(figure.dpi_scale_trans.inverted())
        left, top = (inches.x0 - tight.x0) * POINTS, (tight.y1 - inches.y1) * POINTS
        box = (left, top, inches.width * POINTS, inches.height * POINTS)
        views.append(View(_name(panel, shown), _pad(box)))
    return Panels(tuple(views), tuple(_list_keys(figure)), _describe_axes(shown), width)


def _find_extent(panel: Axes) -> Bbox:
    """Return the panel with its numbers, in pixels; without its title and the names of its axes."""
    own = panel.get_window_extent()
    across = [label.get_window_extent() for label in panel.get_xticklabels() if label.get_text()]
    upward = [label.get_window_extent() for label in panel.get_yticklabels() if label.get_text()]
    # Numbers beyond the ends of an axis exist, but they are not drawn.
    return Bbox.union([
        own,
        *(box for box in across if own.x0 - 1 <= (box.x0 + box.x1) / 2 <= own.x1 + 1),
        *(box for box in upward if own.y0 - 1 <= (box.y0 + box.y1) / 2 <= own.y1 + 1),
    ])  # fmt: skip


def _pad(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, width, height = box
    left, top, width, height = left - MARGIN, top - MARGIN, width + 2 * MARGIN, height + 2 * MARGIN
    return round(left, 1), round(top, 1), round(width, 1), round(height, 1)


def _name(panel: Axes, others: Sequence[Axes]) -> str:
    """Return the title of a panel, or of its column where it has none, and that of its row."""
    place = panel.get_subplotspec()
    if place is None:
        return panel.get_title()
    parts = [panel.get_title()]
    for other in others:
        spec = other.get_subplotspec()
        if spec is not None and spec.colspan == place.colspan and not panel.get_title():
            parts.append(other.get_title())
        if spec is not None and spec.rowspan == place.rowspan:
            parts.append(
                other.get_ylabel().partition("\n")[0] if "\n" in other.get_ylabel() else ""
            )
    return ", ".join(dict.fromkeys(" ".join(part.split()) for part in parts if part))


def _describe_axes(panels: Iterable[Axes]) -> str:
    """Return what goes up and what goes to the right."""
    up = next((panel.get_ylabel().split("\n")[-1] for panel in panels if panel.get_ylabel()), "")
    right = next((panel.get_xlabel() for panel in panels if panel.get_xlabel()), "")
    parts = [f"upwards: {up}" if up else "", f"to the right: {right}" if right else ""]
    return "; ".join(part for part in parts if part)


def _list_keys(figure: Figure) -> Iterable[Key]:
    """Yield the entries of the figure's legend."""
    for legend in figure.legends:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            if isinstance(handle, Line2D):
                yield Key(
                    text.get_text(), to_hex(handle.get_color()), handle.get_linestyle() == "-"
                )
            elif handle is not None and hasattr(handle, "get_facecolor"):
                yield Key(text.get_text(), to_hex(handle.get_facecolor()[0]), is_solid=True)
