"""Names beside points: none on another, none on a point, in the figure's own measures."""

from __future__ import annotations

from itertools import combinations

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from rootbound.methods import METHODS
from rootbound.report.leaderboard.frontier import NARROW, WIDE, write_names
from rootbound.report.theme import styled

NAMES = [*METHODS, "weight=0.05", "weight=0.3"]


def boxes(figure: Figure) -> list[Bbox]:
    """Return where the figure's names are, in pixels, less what rounding may take."""
    figure.draw_without_rendering()
    found = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    return [box.padded(-0.5) for box in found]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("scale", "size"), [("linear", WIDE), ("symlog", WIDE), ("symlog", NARROW)]
)
def test_labels_avoid_labels_and_points(seed: int, scale: str, size: tuple[float, float]) -> None:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(len(NAMES), 2, generator=generator)
    spots = [(float(x), float(y)) for x, y in drawn]
    with styled():
        figure, panel = plt.subplots(figsize=size, layout="constrained")
        panel.plot(*zip(*spots, strict=True), "o")
        panel.set_yscale(scale)
        write_names(figure, panel, spots, NAMES, ["C0"] * len(NAMES))
        found = boxes(figure)
        points = [panel.transData.transform(spot) for spot in spots]
        plt.close(figure)
    assert len(found) == len(NAMES)
    assert not [pair for pair in combinations(found, 2) if pair[0].overlaps(pair[1])]
    assert all(box.x1 <= figure.bbox.x1 for box in found), "a name leaves the figure"
    assert not [point for point in points for box in found if box.contains(*point)]


def test_labels_avoid_earlier_text() -> None:
    with styled():
        figure, panel = plt.subplots()
        panel.annotate("features of unrelated data", (0.5, 0.5))
        write_names(figure, panel, [(0.48, 0.5)], NAMES[:1], ["C0"])
        before, name = boxes(figure)
        plt.close(figure)
    assert not before.overlaps(name)


def test_distant_label_has_a_line_to_its_point() -> None:
    with styled():
        figure, panel = plt.subplots()
        panel.set_ylim(-1, 1)
        write_names(
            figure, panel, [(0.0, height / 1000) for height in range(3)], NAMES[:3], ["C0"] * 3
        )
        lines = [text.arrow_patch is not None for text in panel.texts]  # type: ignore[attr-defined]
        plt.close(figure)
    assert lines[0] is False
    assert any(lines)
