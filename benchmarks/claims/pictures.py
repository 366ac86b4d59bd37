"""Draw the first picture of the README from committed records.

python -m benchmarks.claims.pictures
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rootbound import metrics
from rootbound.records import EXACT, Evaluation
from rootbound.report import load_pictures
from rootbound.report.theme import FAINT, INK, SCRATCH, assign_colours, styled, to_svg

RESULTS = Path("benchmarks/results")
ATTACKED = RESULTS / "2026-11-29_63879d4_quick-2"
LOOKED_INTO = RESULTS / "2026-11-29_20dc079_demo-2"
PICTURE = Path("docs/images/summary.svg")

LABELS = (10, 100)
ARMS = {"Plain": "undefended", "BestResponse": "defended", "scratch": "random weights"}
DIGIT = 3
"""Place of the image that is shown among the five of each task: a 3 and an 8."""


def draw_summary(evaluation: Evaluation, pictures: dict[str, dict[str, NDArray[Any]]]) -> Figure:
    """Draw what attackers reach from each arm, and beside it where two models look."""
    figure = plt.figure(figsize=(10.2, 3.9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[3.1, 1.5], squeeze=False)[0]
    last, whole = left.subplots(1, 2, width_ratios=[1, 2], sharey=True)
    _draw_bars(last, evaluation, LABELS[-1:], EXACT)
    _draw_bars(whole, evaluation, LABELS, None)
    last.set_title("A new last layer learns\nnext to nothing", fontsize=10)
    whole.set_title(
        "All layers retrained: the defended weights\nare worth no more than random ones",
        fontsize=10,
    )
    last.set_ylabel("accuracy on the undesirable digits, %")
    majority = 100 * float(evaluation.context["undesirable"]["majority"])
    for panel in (last, whole):
        line = panel.axhline(majority, color=FAINT, linewidth=1, linestyle=":")
        panel.set_ylim(0, 105)
        panel.grid(visible=False, axis="x")
    handles, names = whole.get_legend_handles_labels()
    left.legend(
        [*handles, line],
        [*names, "naming the most frequent digit"],
        loc="outside lower center",
        ncols=4,
    )
    _draw_looks(right, pictures)
    return figure


def _draw_bars(
    panel: Axes, evaluation: Evaluation, counts: Sequence[int], family: str | None
) -> None:
    colours = assign_colours(["Plain", "BestResponse"]) | {"scratch": SCRATCH}
    for place, (arm, name) in enumerate(ARMS.items()):
        reached = [
            metrics.points(metrics.attacked(evaluation, arm, labels, family)) for labels in counts
        ]
        assert all(value is not None for value in reached)
        known = [value for value in reached if value is not None]
        means = [value.mean for value in known]
        bars = panel.bar(
            [position + 0.27 * (place - 1) for position in range(len(counts))], means, width=0.25,
            color=colours[arm], label=name,
            yerr=[
                [value.mean - value.low for value in known],
                [value.high - value.mean for value in known],
            ],
            error_kw={"elinewidth": 1, "capsize": 2, "ecolor": INK},
        )  # fmt: skip
        panel.bar_label(
            bars, [f"{mean:.0f}" for mean in means], label_type="center", fontsize=8.5,
            color="white",
        )  # fmt: skip
    panel.set_xticks(range(len(counts)), [f"{labels} labels per class" for labels in counts])


def _draw_looks(figure: Any, pictures: dict[str, dict[str, NDArray[Any]]]) -> None:
    columns = {
        "a desirable digit": ("desirable", "cam_original_desirable"),
        "an undesirable one": ("undesirable", "cam_retrained_undesirable"),
    }
    panels = figure.subplots(3, 2, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    figure.suptitle("Where they look (Grad-CAM)", fontsize=10)
    for place, (title, (images, cams)) in enumerate(columns.items()):
        rows = (("image", None), ("undefended", "Plain"), ("defended", "BestResponse"))
        for panel, (name, method) in zip(panels[:, place], rows, strict=True):
            panel.set_xticks([])
            panel.set_yticks([])
            panel.imshow(pictures["Plain"][images][DIGIT][0], cmap="gray")
            if method is not None:
                cam = pictures[method][cams][DIGIT]
                panel.imshow(cam, cmap="inferno", alpha=0.8 * (cam / 255.0) ** 0.5)
            if place == 0:
                panel.text(-3, 14, name, ha="right", va="center")
        panels[0, place].set_title(title, fontsize=8.5)


def main() -> None:
    """Draw and write the picture."""
    with styled():
        pictures = {
            name: {part: np.asarray(value) for part, value in parts.items()}
            for name, parts in load_pictures(LOOKED_INTO).items()
        }
        PICTURE.write_text(to_svg(draw_summary(Evaluation.load(ATTACKED), pictures)))


if __name__ == "__main__":
    main()
