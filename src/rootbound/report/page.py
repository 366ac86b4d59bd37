"""A report as documents: one HTML page that needs nothing else, and its summary in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rootbound.records import Evaluation
from rootbound.report.cells import as_words, table_to_markdown
from rootbound.report.settings import settings
from rootbound.report.summary import Summary
from rootbound.report.theme import for_page


@dataclass(frozen=True)
class Figure:
    """A figure of the report: its name as a file, what it shows, and its SVG text."""

    name: str
    title: str
    caption: str
    svg: str


def environment() -> Environment:
    """Return the templates. They escape all text, and a missing value is an error."""
    return Environment(
        loader=PackageLoader("rootbound.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def to_html(
    evaluation: Evaluation, summary: Summary, figures: Mapping[str, Sequence[Figure]]
) -> str:
    """Return the report as one HTML document; figures come by the section they belong to."""
    # Our own figures are the only text that is not escaped. The words of strangers in them (class
    # names) have been escaped by the SVG writer.
    inline = {
        section: [
            (figure, Markup(for_page(figure.svg, figure.name, figure.title))) for figure in several
        ]
        for section, several in figures.items()
    }
    template = environment().get_template("report.html.j2")
    return template.render(
        title=summary.title,
        complete=evaluation.complete,
        summary=summary,
        figures=inline,
        settings=settings(evaluation),
        trainings=evaluation.trainings,
    )


def to_markdown(summary: Summary) -> str:
    """Return the summary as a Markdown document."""
    parts = [f"# {as_words(summary.title)}", *map(as_words, summary.headline)]
    for table in summary.tables:
        parts += [f"## {table.title}", as_words(table.caption), table_to_markdown(table)]
    parts += ["## Limits of the claim"]
    parts += ["\n".join(f"- {as_words(limit)}" for limit in summary.limits)]
    return "\n\n".join(parts) + "\n"
