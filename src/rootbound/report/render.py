"""Reports of an evaluation: one HTML page, a Markdown summary, and every figure as SVG."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure as Plot
from numpy.typing import NDArray

from rootbound.errors import InputError
from rootbound.files import write_atomically
from rootbound.records import Evaluation
from rootbound.report import curves, portraits
from rootbound.report.markdown import to_markdown
from rootbound.report.page import Figure, to_html
from rootbound.report.summary import summarise
from rootbound.report.theme import styled, to_svg

Pictures = portraits.Pictures
CONTEXT = {
    "budgets", "curve_samples", "date", "defender_undesirable_samples", "desirable", "layers",
    "machine", "model", "parameters", "seeds", "shared_undesirable", "suite", "suite_digest",
    "trials", "undesirable", "validation_limit", "validation_share", "versions",
}  # fmt: skip
"""What a report says of the run itself."""


def html(evaluation: Evaluation, path: Path | str, pictures: Pictures | None = None) -> None:
    """Write the report of an evaluation as one HTML file."""
    figures = draw(evaluation, pictures or {})
    page = to_html(evaluation, summarise(evaluation), figures, _title(evaluation))
    write_atomically(Path(path), page)


def write(folder: Path | str) -> Path:
    """Make the report of a run folder from its records; return the page's path.

    Reads `records.json` and, if there, `pictures.npz`; writes `report.html`, `summary.md`
    and `figures/*.svg`.

    Raises:
        InputError: records or pictures are missing or damaged, or the folder is read-only.
    """
    folder = Path(folder)
    evaluation = Evaluation.load(folder)
    if missing := CONTEXT - set(evaluation.context):
        raise InputError(
            f"records of a run in {folder / 'records.json'}",
            f"a context without {sorted(missing)[0]!r}",
            "run it again",
        )
    figures = draw(evaluation, load_pictures(folder))
    summary, title = summarise(evaluation), _title(evaluation)
    for several in figures.values():
        for figure in several:
            write_atomically(folder / "figures" / f"{figure.name}.svg", figure.svg)
    write_atomically(folder / "summary.md", to_markdown(summary, title))
    write_atomically(folder / "report.html", to_html(evaluation, summary, figures, title))
    return folder / "report.html"


def draw(evaluation: Evaluation, pictures: Pictures) -> dict[str, list[Figure]]:
    """Return the figures of an evaluation by section."""
    context = evaluation.context
    classes = {role: list(context[role]["classes"]) for role in ("desirable", "undesirable")}
    if not evaluation.records:
        return {"curves": [], "portraits": []}
    wanted: dict[str, list[tuple[str, str, str, Callable[[], Plot | None]]]] = {
        "curves": [
            ("curves-steps", "Accuracy against the attacker's steps",
             "Mean over seeds of the trial chosen on the attacker's validation samples; bands span "
             "the seeds. Dashed: from random weights. Dotted: always naming the most frequent "
             "class.", lambda: curves.against_steps(evaluation)),
            ("curves-labels", "Accuracy against the attacker's labels",
             "At the step chosen on validation; bands span the seeds. The last panel lets the "
             "attacker choose among all attacks.", lambda: curves.against_labels(evaluation)),
            ("curves-trials", "Accuracy against the attacker's diligence",
             "Of the setting that validation chose among the trials so far, at the curve's test "
             "samples: a defence that only needs tuning to break rises late.",
             lambda: curves.against_trials(evaluation)),
        ],
        "portraits": [
            ("grad-cam", "Where the models look (Grad-CAM)",
             "First test image of each class, seed 0; no picking. With the original head: the "
             "true class for desirable images, the predicted one for undesirable images. With the "
             "retrained head (exact, all labels): the true undesirable class. Each map is scaled "
             "to its own maximum; an image without colour has no positive evidence anywhere.",
             lambda: portraits.grad_cam(pictures, classes)),
            ("feature-view", "Undesirable test samples as the models see them",
             "Features before the last layer, projected on their first two principal axes (each "
             "panel its own, the outermost 1 % cut off); colours are the undesirable classes.",
             lambda: portraits.feature_view(pictures, classes["undesirable"])),
            ("filters", "Filters of the first layer",
             "Up to 16; each row on its own scale, red positive, blue negative.",
             lambda: portraits.filters(pictures)),
            ("feature-maps", "Outputs of the last convolution for one undesirable image",
             "Up to 16 channels, after the ReLU; each row on its own scale.",
             lambda: portraits.feature_maps(pictures)),
        ],
    }  # fmt: skip
    with styled():
        return {
            section: [figure for entry in entries if (figure := _drawn(*entry)) is not None]
            for section, entries in wanted.items()
        }


def load_pictures(folder: Path) -> Pictures:
    """Read `pictures.npz` of a run folder; nothing if there is none.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / "pictures.npz"
    if not path.is_file():
        return {}
    found: dict[str, dict[str, NDArray[Any]]] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for key in archive.files:
                method, _, name = key.partition("/")
                found.setdefault(method, {})[name] = archive[key]
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError, AttributeError) as error:
        raise InputError(
            f"pictures in {path}", str(error)[:160], "delete the file or run again"
        ) from None
    return found


def _drawn(name: str, title: str, caption: str, plot: Callable[[], Plot | None]) -> Figure | None:
    figure = plot()
    if figure is None:
        return None
    svg = to_svg(figure)
    plt.close(figure)
    return Figure(name, title, caption, svg)


def _title(evaluation: Evaluation) -> str:
    desirable = evaluation.context["desirable"]["name"]
    undesirable = evaluation.context["undesirable"]["name"]
    return f"rootbound: good at {desirable}, resisting {undesirable}"
