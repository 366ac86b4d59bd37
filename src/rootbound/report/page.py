"""The summary and the figures as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rootbound.records import Evaluation
from rootbound.report.settings import settings
from rootbound.report.summary import Summary
from rootbound.report.theme import for_page


@dataclass(frozen=True)
class Figure:
    """A figure of the report: its file name, what it shows, and its SVG text."""

    name: str
    title: str
    caption: str
    svg: str


def environment() -> Environment:
    """Return the templates: they escape all text, and what is missing is an error."""
    return Environment(
        loader=PackageLoader("rootbound.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def to_html(
    evaluation: Evaluation, summary: Summary, figures: Mapping[str, list[Figure]], title: str
) -> str:
    """Return the report as one HTML document.

    Args:
        evaluation: for the settings.
        summary: headline, tables, limits.
        figures: by the section they belong to.
        title: of the page.
    """
    # Our own figures are the only text that is not escaped; what they contain of strangers'
    # words (class names) the SVG writer has escaped.
    inline = {
        section: [
            (figure, Markup(for_page(figure.svg, figure.name, figure.title))) for figure in several
        ]
        for section, several in figures.items()
    }
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            complete=evaluation.complete,
            summary=summary,
            figures=inline,
            settings=settings(evaluation),
            trainings=evaluation.trainings,
        )
    )
