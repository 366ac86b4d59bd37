"""The frontier: what resistance costs. A method is a point; one with several settings is a path."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Bbox

from rootbound.metrics import Estimate
from rootbound.records import Configuration
from rootbound.records.configuration import named
from rootbound.report.cases import GENERIC
from rootbound.report.leaderboard.entries import Entry
from rootbound.report.theme import FAINT, assign_colours, missing_letters_allowed

DOUBT = " (unreliable)"
"""Words after the name of an unreliable point."""
NARROW_LABEL = 32
"""Letters of an axis label that fit into a line of a narrow figure."""
Spot = tuple[float, float]
"""Where a point is, in the units of the axes."""
LABEL_OFFSET = (6.0, -3.0)
"""Distance from a spot to the lower left corner of its name, in points of print."""
MARKER_RADIUS = 3.0
"""Radius of a spot that names keep clear of, in points."""
LABEL_STEP = 2.0
"""Distance by which a name moves down until nothing is in its way, in points."""
LEADER_FROM = 8.0
"""From this distance, in points, a line leads from the name to its spot."""


WIDE, NARROW = (9.6, 4.8), (3.5, 5.4)
"""Width and height in inches: for a desk, and for a phone, where letters stay readable."""


def draw_frontier(entries: Sequence[Entry], size: tuple[float, float] = WIDE) -> Figure | None:
    """Return desirable loss against worst advantage over scratch, with 95 % intervals.

    The undefended model is at a loss of 0. Return None if there are no numbers.

    Args:
        entries: The rows of a leaderboard.
        size: Width and height in inches.
    """
    known = [entry for entry in entries if entry.worst is not None]
    if not known:
        return None
    figure, panel = plt.subplots(figsize=size, layout="constrained")
    # The undefended model comes first and is grey, wherever it ranks.
    ordered = sorted(entries, key=lambda entry: entry.standing.change is not None)
    colour_of = assign_colours(list(dict.fromkeys(entry.kind for entry in ordered)))
    for entry in known:
        draw = _draw_level if entry.kind == GENERIC else _draw_point
        draw(panel, entry, colour_of[entry.kind])
    panel.axhline(0, color=FAINT, linewidth=1)
    lost = "desirable accuracy lost against the undefended model, points"
    panel.set_xlabel(lost if size == WIDE else textwrap.fill(lost, NARROW_LABEL))
    panel.set_ylabel("worst advantage over scratch, points")
    # Values near zero must be told apart, and a method that breaks the model must fit in.
    _make_logarithmic(panel.yaxis, panel.set_yscale, linear=2)
    points = [entry for entry in known if entry.kind != GENERIC]
    _draw_paths(panel, points, colour_of)
    if max((entry.loss for entry in points), default=0.0) > 5:
        _make_logarithmic(panel.xaxis, panel.set_xscale, linear=1)
    write_names(
        figure, panel,
        spots=[(entry.loss, float(entry.worst or 0.0)) for entry in points],
        names=[f"{_label(entry, points)}{DOUBT if entry.is_doubtful else ''}" for entry in points],
        colours=[colour_of[entry.kind] for entry in points],
    )  # fmt: skip
    return figure


def _draw_point(panel: Axes, entry: Entry, colour: str) -> None:
    worst, change = entry.standing.worst, entry.standing.change
    height, loss = float(entry.worst or 0.0), entry.loss
    vertical = None if worst is None or entry.challenge is not None else worst.advantage
    drawn = panel.errorbar(
        [loss], [height], xerr=_find_half_width(change), yerr=_find_half_width(vertical),
        fmt="o", color=colour, elinewidth=0.8, markersize=5,
        alpha=0.5 if entry.is_doubtful else 0.9,
        markerfacecolor="none" if entry.is_doubtful else colour,
    )  # fmt: skip
    for bar in drawn[2]:
        bar.set_alpha(0.35)  # names are written across them


def _draw_paths(panel: Axes, entries: Sequence[Entry], colour_of: dict[str, str]) -> None:
    """Join the points of one class with other settings, from the cheapest to the dearest."""
    for kind in dict.fromkeys(entry.kind for entry in entries):
        own = [entry for entry in entries if entry.kind == kind]
        path = sorted((entry.loss, float(entry.worst or 0.0)) for entry in own)
        if len(path) > 1:
            panel.plot(*zip(*path, strict=True), color=colour_of[kind], linewidth=0.8, alpha=0.6)


def _label(entry: Entry, entries: Sequence[Entry]) -> str:
    """Return a method's name; only its settings if the same class is shown with its defaults."""
    method, settings = entry.standing.method, entry.standing.settings
    for other in entries:
        usual = other.standing.settings
        if other.standing.method == entry.kind != method and isinstance(usual, Configuration):
            assert isinstance(settings, Configuration)  # it has a class
            return named(settings.differing(usual))
    return method


def _draw_level(panel: Axes, entry: Entry, colour: str) -> None:
    """Draw the control as a level, since its own desirable accuracy says nothing."""
    height = float(entry.worst or 0.0)
    panel.axhline(height, color=colour, linewidth=1, linestyle="dashed")
    panel.annotate(
        "features of unrelated data", (1, height), xycoords=("axes fraction", "data"),
        textcoords="offset points", xytext=(-4, 3), ha="right", fontsize=8, color=colour,
    )  # fmt: skip


def _make_logarithmic(axis: Axis, set_scale: Callable[..., None], linear: float) -> None:
    """Make an axis logarithmic on either side of a linear part around zero."""
    set_scale("symlog", linthresh=linear)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _find_half_width(value: Estimate | None) -> list[float] | None:
    """Return the half width of a symmetric interval, if there is one."""
    if value is None or math.isinf(value.high):
        return None
    return [(value.high - value.low) / 2]


def write_names(
    figure: Figure, panel: Axes, spots: Sequence[Spot], names: Sequence[str], colours: Sequence[str]
) -> None:
    """Write a name beside each spot, below other words and spots that are in its way.

    It begins to the right of its spot, or further left where it would leave the figure. Call this
    last: positions on paper are known only when scales and limits are.
    """
    figure.draw_without_rendering()
    pixels = figure.dpi / 72
    taken = [
        Bbox.from_bounds(x, y, 0, 0).padded(MARKER_RADIUS * pixels)
        for x, y in map(panel.transData.transform, spots)
    ]
    taken += [text.get_window_extent() for text in panel.texts]
    for number in sorted(range(len(spots)), key=lambda number: -spots[number][1]):
        look: dict[str, Any] = {
            "text": names[number], "xy": spots[number], "textcoords": "offset points",
            "fontsize": 8, "color": colours[number],
        }  # fmt: skip
        right, rise = LABEL_OFFSET
        trial = panel.annotate(xytext=LABEL_OFFSET, **look)
        with missing_letters_allowed():
            box, down = trial.get_window_extent(), 0.0
        trial.remove()
        if (beyond := box.x1 - figure.bbox.x1) > 0:
            box, right = box.translated(-beyond, 0), right - beyond / pixels
        while any(box.overlaps(other) for other in taken):
            box, down = box.translated(0, -LABEL_STEP * pixels), down + LABEL_STEP
        taken.append(box)
        leader = {
            "arrowstyle": "-", "color": colours[number], "alpha": 0.5, "linewidth": 0.7,
            "relpos": (0.5, 1) if right < 0 else (0, 0.5), "shrinkA": 0, "shrinkB": 2,
        }  # fmt: skip
        panel.annotate(
            xytext=(right, rise - down),
            arrowprops=leader if down > LEADER_FROM else None,
            **look,
        )
