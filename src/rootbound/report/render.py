"""Reports of an evaluation: one HTML page, a Markdown summary, and every figure as SVG."""

from __future__ import annotations

import base64
from itertools import chain
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from markupsafe import escape

from rootbound.core.errors import InputError, take_first_line
from rootbound.core.files import encode, write_atomically
from rootbound.records import Evaluation, records_file
from rootbound.records.evaluation import PARTS
from rootbound.report import curves
from rootbound.report.figures import draw
from rootbound.report.headline import describe_run
from rootbound.report.page import to_html, to_markdown
from rootbound.report.portraits import Array, Pictures
from rootbound.report.summary import summarise
from rootbound.report.theme import styled, to_svg
from rootbound.report.verdicts import verdict, write_verdict

CONTEXT = {
    "adaptive", "budgets", "curve_samples", "date", "defender_undesirable_samples", "desirable",
    "layers", "machine", "model", "parameters", "rules", "seeds", "shared_undesirable", "suite",
    "suite_digest", "trials", "undesirable", "validation_limit", "validation_share", "versions",
}  # fmt: skip
"""Entries of the context that a report needs to describe the run."""


def html(evaluation: Evaluation, path: Path | str, pictures: Pictures | None = None) -> None:
    """Write the report of an evaluation as one HTML file."""
    figures = draw(evaluation, pictures or {})
    page = to_html(evaluation, summarise(evaluation), figures, in_folder=False)
    write_atomically(Path(path), page)


def notebook(evaluation: Evaluation) -> str:
    """Return the headline and a figure of the strongest attack as HTML for a notebook."""
    parts = [f"<p>{escape(sentence)}</p>" for sentence in describe_run(evaluation)]
    if evaluation.records:
        with styled():
            plot = curves.of_strongest(evaluation)
            picture = base64.b64encode(encode(to_svg(plot))).decode()
            plt.close(plot)
        # A separate image, because names inside it would clash with those of another cell.
        parts.append(
            '<img alt="Accuracy of the strongest attack against its labels" '
            f'src="data:image/svg+xml;base64,{picture}">'
        )
    return "\n".join(parts)


def write(folder: Path | str) -> Path:
    """Make the report of a run folder from its records; return the page's path.

    Reads `records.json.gz`, and `pictures.npz` if it is there. Writes `report.html`, `summary.md`,
    `verdict.json` and `figures/*.svg`.

    Raises:
        InputError: The records are missing, records or pictures are damaged, or the folder
            cannot be written.
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
    summary = summarise(evaluation)
    for figure in chain.from_iterable(figures.values()):
        write_atomically(folder / "figures" / f"{figure.name}.svg", figure.svg)
    write_atomically(folder / "summary.md", to_markdown(summary))
    write_verdict(folder, verdict(evaluation))
    page = to_html(evaluation, summary, figures, in_folder=True)
    write_atomically(folder / "report.html", page)
    return folder / "report.html"


def load_pictures(folder: Path | str) -> Pictures:
    """Read the pictures of a run, or those that there are so far; none where there is no file.

    Raises:
        InputError: A file is damaged.
    """
    folder = Path(folder)
    complete = folder / "pictures.npz"
    pictures: dict[str, dict[str, Array]] = {}
    for path in [complete] if complete.is_file() else sorted((folder / PARTS).glob("*.npz")):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                for key in archive.files:
                    method, _, name = key.partition("/")
                    pictures.setdefault(method, {})[name] = archive[key]
        except Exception as error:  # NumPy parses headers as Python, and may raise anything
            reason, advice = take_first_line(error), "delete the file or run again"
            raise InputError(f"pictures in {path}", reason, advice) from None
    return pictures
