"""Pictures of what models see: Grad-CAM, filters, feature maps, a view of the features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rootbound.report.theme import CLASS_PALETTE

Array = NDArray[Any]
Pictures = Mapping[str, Mapping[str, Array]]
"""Arrays by method and name, as `inspection/pictures.py` makes them."""
LEGEND_SIZE = 12
"""Most classes in a legend."""
NAME_LENGTH = 11
"""Most letters of a class's name over an image."""
CAMS = (
    ("desirable", "cam_original_desirable", "desirable, original head"),
    ("undesirable", "cam_original_undesirable", "undesirable, original head"),
    ("undesirable", "cam_retrained_undesirable", "undesirable, retrained head"),
)


def draw_grad_cam(pictures: Pictures, classes: Mapping[str, list[str]]) -> Figure | None:
    """Return the images, and below them a row with the Grad-CAM of each method.

    Args:
        pictures: Arrays of each method.
        classes: Names of the `desirable` and the `undesirable` classes, where they are known.
    """
    shown = {name: parts for name, parts in pictures.items() if CAMS[-1][1] in parts}
    if not shown:
        return None
    any_method = next(iter(shown.values()))
    groups = [group for group in CAMS if group[0] in classes]
    widths = [min(len(any_method[images]), 8) for images, _, _ in groups]
    # A narrow empty column between the groups.
    ratios = [ratio for width in widths for ratio in (*[1.0] * width, 0.35)][:-1]
    rows = len(shown) + 1
    size = (0.72 * sum(widths) + 2.6, 0.72 * rows + 0.5)
    figure, panels = plt.subplots(
        rows, len(ratios), figsize=size, squeeze=False, width_ratios=ratios
    )
    figure.subplots_adjust(wspace=0.06, hspace=0.06)
    _hide(panels.flat)
    for row, name in zip(panels, ["image", *shown], strict=True):
        row[0].text(-0.2, 0.5, name, transform=row[0].transAxes, ha="right", va="center")
    start = 0
    for (images, cams, title), width in zip(groups, widths, strict=True):
        group = panels[:, start : start + width]
        middle, x = group[0][width // 2], 0.5 if width % 2 else -0.03
        middle.annotate(title, (x, 1.35), xycoords="axes fraction", ha="center", weight="bold")
        for position in range(width):
            column = group[:, position]
            name = classes[images][position]
            short = name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"
            column[0].set_title(short, fontsize=8, pad=2)
            maps = [parts[cams][position] for parts in shown.values()]
            _overlay(column, any_method[images][position], maps)
        start += width + 1
    return figure


def _overlay(column: Iterable[Axes], image: Array, cams: Sequence[Array]) -> None:
    """Show an image, and below it a copy under each map, more opaque where the map is stronger."""
    first, *others = column
    _show(first, image)
    for panel, cam in zip(others, cams, strict=True):
        _show(panel, image)
        panel.imshow(cam, cmap="inferno", alpha=0.8 * (cam / 255.0) ** 0.5)


def draw_filters(pictures: Pictures) -> Figure | None:
    """Return the first layer's filters, a row for each method."""
    return _draw_tiles(pictures, "filters", "RdBu_r", signed=True)


def draw_feature_maps(pictures: Pictures) -> Figure | None:
    """Return the last convolution's outputs for one undesirable image, a row for each method."""
    return _draw_tiles(pictures, "maps", "inferno", signed=False)


def draw_features(pictures: Pictures, classes: list[str]) -> Figure | None:
    """Return the undesirable test features on their first two principal axes."""
    shown = {name: parts for name, parts in pictures.items() if "view" in parts}
    if not shown:
        return None
    columns = min(len(shown), 4)
    rows = -(-len(shown) // columns)
    size = (2.7 * columns, 2.7 * rows + 0.4)
    figure, panels = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for panel in panels.flat[len(shown) :]:
        panel.set_visible(False)
    for panel, (method, parts) in zip(panels.flat, shown.items(), strict=False):
        points, labels = parts["view"].astype(float), parts["view_labels"]
        for label, name in enumerate(classes):
            own = points[labels == label]
            if not len(own) and len(classes) > LEGEND_SIZE:  # most tokens of a vocabulary
                continue
            colour = CLASS_PALETTE[label % len(CLASS_PALETTE)]
            panel.scatter(
                own[:, 0], own[:, 1], s=5, alpha=0.6, linewidth=0, color=colour, label=name
            )
        # A few distant samples must not squeeze all others into a corner.
        low, high = np.percentile(points, 1, axis=0), np.percentile(points, 99, axis=0)
        margin = 0.1 * (high - low) + 1e-3
        panel.set_xlim(low[0] - margin[0], high[0] + margin[0])
        panel.set_ylim(low[1] - margin[1], high[1] + margin[1])
        panel.set_title(method)
        panel.set_xticks([])
        panel.set_yticks([])
    if len(classes) <= LEGEND_SIZE:
        handles, labels = panels[0][0].get_legend_handles_labels()
        ncols = min(len(classes), 6)
        figure.legend(handles, labels, loc="outside lower center", ncols=ncols, markerscale=2)
    return figure


def _draw_tiles(pictures: Pictures, kind: str, cmap: str, *, signed: bool) -> Figure | None:
    """Return at most 16 small pictures of a kind in a row for each method, on its own scale."""
    rows = {name: parts[kind] for name, parts in pictures.items() if kind in parts}
    if not rows:
        return None
    width = min(16, max(len(tiles) for tiles in rows.values()))
    figure, panels = plt.subplots(
        len(rows), width, figsize=(0.5 * width + 2.2, 0.55 * len(rows)), squeeze=False
    )
    figure.subplots_adjust(wspace=0.08, hspace=0.12)
    for row, (name, tiles) in zip(panels, rows.items(), strict=True):
        _hide(row)
        highest = float(np.abs(tiles).max()) or 1.0
        for panel, tile in zip(row, tiles, strict=False):
            lowest = -highest if signed else 0.0
            panel.imshow(tile.astype(np.float32), cmap=cmap, vmin=lowest, vmax=highest)
        row[0].text(-0.2, 0.5, name, transform=row[0].transAxes, ha="right", va="center")
    return figure


def _show(panel: Axes, image: Array) -> None:
    if image.shape[0] == 1:
        panel.imshow(image[0], cmap="gray")
    else:
        panel.imshow(np.moveaxis(image[:3], 0, -1))


def _hide(panels: Iterable[Axes]) -> None:
    for panel in panels:
        panel.set_axis_off()
