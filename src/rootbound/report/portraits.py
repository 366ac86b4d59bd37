"""Pictures of what models see: Grad-CAM, filters, feature maps, a view of the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rootbound.report.theme import CLASS_PALETTE

Array = NDArray[Any]
Pictures = Mapping[str, Mapping[str, Array]]
"""By method, then by name, as `evaluation.pictures` makes them."""

CAMS = (
    ("desirable", "cam_original_desirable", "original head,\ndesirable"),
    ("undesirable", "cam_original_undesirable", "original head,\nundesirable"),
    ("undesirable", "cam_retrained_undesirable", "retrained head,\nundesirable"),
)


def grad_cam(pictures: Pictures, classes: Mapping[str, list[str]]) -> Figure | None:
    """Return rows of images with the Grad-CAM of each method over them.

    Args:
        pictures: of each method.
        classes: names of the `desirable` and the `undesirable` classes.
    """
    shown = {name: parts for name, parts in pictures.items() if CAMS[0][1] in parts}
    if not shown:
        return None
    rows = [(method, *cam) for cam in CAMS for method in shown]
    width = max(len(shown[method][images]) for method, images, _, _ in rows)
    figure, panels = plt.subplots(
        len(rows), width, figsize=(0.95 * width + 2.2, 0.95 * len(rows)), squeeze=False
    )
    figure.subplots_adjust(wspace=0.04, hspace=0.08)
    for row, (method, images, cams, title) in zip(panels, rows, strict=True):
        _hide(row)
        for panel, image, cam in zip(row, shown[method][images], shown[method][cams], strict=False):
            _show(panel, image)
            panel.imshow(cam, cmap="inferno", alpha=0.55 * (cam > 0), vmin=0, vmax=255)
        row[0].text(
            -0.12, 0.5, f"{method}\n{title}", transform=row[0].transAxes, ha="right", va="center"
        )
    for index, (_, images, _, _) in enumerate(rows):
        if index in (0, len(shown)):
            for panel, name in zip(panels[index], classes[images], strict=False):
                panel.set_title(name, fontsize=8, pad=2)
    return figure


def filters(pictures: Pictures) -> Figure | None:
    """Return the first layer's filters, a row for each method."""
    return _tiles(
        {name: parts["filters"] for name, parts in pictures.items() if "filters" in parts},
        "RdBu_r",
        True,
    )


def feature_maps(pictures: Pictures) -> Figure | None:
    """Return the last convolution's outputs for one undesirable image, a row for each method."""
    return _tiles(
        {name: parts["maps"] for name, parts in pictures.items() if "maps" in parts},
        "inferno",
        False,
    )


def feature_view(pictures: Pictures, classes: list[str]) -> Figure | None:
    """Return the undesirable test features on their first two principal axes."""
    shown = {name: parts for name, parts in pictures.items() if "view" in parts}
    if not shown:
        return None
    columns = min(len(shown), 4)
    rows = -(-len(shown) // columns)
    figure, panels = plt.subplots(
        rows,
        columns,
        figsize=(2.7 * columns, 2.7 * rows + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for panel in panels.flat[len(shown) :]:
        panel.set_visible(False)
    for panel, (method, parts) in zip(panels.flat, shown.items(), strict=False):
        points, labels = parts["view"].astype(float), parts["view_labels"]
        for label, name in enumerate(classes):
            own = points[labels == label]
            colour = CLASS_PALETTE[label % len(CLASS_PALETTE)]
            panel.scatter(
                own[:, 0], own[:, 1], s=5, alpha=0.6, linewidth=0, color=colour, label=name
            )
        panel.set_title(method)
        panel.set_xticks([])
        panel.set_yticks([])
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(classes), markerscale=2)
    return figure


def _tiles(rows: Mapping[str, Array], cmap: str, signed: bool) -> Figure | None:
    """Return a row of small pictures for each name, at most 16, each row on its own scale."""
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


def _hide(row: Array) -> None:
    for panel in row:
        panel.set_axis_off()
