"""Reports of an evaluation: one HTML page, a Markdown summary, and every figure as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rootbound.core.errors import InputError, first_line
from rootbound.core.files import write_atomically
from rootbound.records import Evaluation, records_file
from rootbound.records.evaluation import PARTS
from rootbound.report.figures import draw
from rootbound.report.markdown import to_markdown
from rootbound.report.page import to_html
from rootbound.report.portraits import Pictures
from rootbound.report.summary import summarise

CONTEXT = {
    "adaptive", "budgets", "curve_samples", "date", "defender_undesirable_samples", "desirable",
    "layers", "machine", "model", "parameters", "rules", "seeds", "shared_undesirable", "suite",
    "suite_digest", "trials", "undesirable", "validation_limit", "validation_share", "versions",
}  # fmt: skip
"""What a report says of the run itself."""


def html(evaluation: Evaluation, path: Path | str, pictures: Pictures | None = None) -> None:
    """Write the report of an evaluation as one HTML file."""
    figures = draw(evaluation, pictures or {})
    page = to_html(evaluation, summarise(evaluation), figures, _title(evaluation))
    write_atomically(Path(path), page)


def write(folder: Path | str) -> Path:
    """Make the report of a run folder from its records; return the page's path.

    Reads `records.json.gz` and, if there, `pictures.npz`; writes `report.html`, `summary.md`
    and `figures/*.svg`.

    Raises:
        InputError: records or pictures are missing or damaged, or the folder is read-only.
    """
    folder = Path(folder)
    evaluation = Evaluation.load(folder)
    if missing := CONTEXT - set(evaluation.context):
        raise InputError(
            f"records of a run in {records_file(folder)}",
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


def load_pictures(folder: Path) -> Pictures:
    """Read `pictures.npz` of a run folder, or those that have come so far; nothing without any.

    Raises:
        InputError: a file is damaged.
    """
    whole = folder / "pictures.npz"
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for path in [whole] if whole.is_file() else sorted((folder / PARTS).glob("*.npz")):
        _add_pictures(found, path)
    return found


def _add_pictures(found: dict[str, dict[str, NDArray[Any]]], path: Path) -> None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for key in archive.files:
                method, _, name = key.partition("/")
                found.setdefault(method, {})[name] = archive[key]
    except Exception as error:  # NumPy reads heads as Python: its parser raises what it likes
        reason = first_line(error)
        raise InputError(f"pictures in {path}", reason, "delete the file or run again") from None


def _title(evaluation: Evaluation) -> str:
    wanted, unwanted = evaluation.context["desirable"], evaluation.context["undesirable"]
    good = "" if wanted is None else f"good at {wanted['name']}, "
    return f"rootbound: {good}resisting {unwanted['name']}"
