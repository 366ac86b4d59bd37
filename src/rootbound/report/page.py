"""A report as documents: one self-contained HTML page, and its summary in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from rootbound.records import Evaluation
from rootbound.report.cells import as_words, table_to_markdown
from rootbound.report.each_method import describe_each
from rootbound.report.first_screen import show_first
from rootbound.report.flag_groups import ABOUT_FLAGS, flags_to_markdown
from rootbound.report.settings import describe_settings
from rootbound.report.summary import Summary
from rootbound.report.theme import for_page, show_part
from rootbound.report.views import Panels

BREAKS = re.compile(r"(?<=\w)\(|(?<==)(?=\d)")
"""Places at which a long name of a method may be broken."""
INSIDE = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
"""Places inside a class name at which it may be broken on a narrow page."""
LEAST_PIXELS = 1.15
"""Pixels for a point of a figure below which letters could not be read."""
BESIDE = 90
"""Pixels beside a figure on a narrow page."""


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    Args:
        name: Its name as a file.
        title: What to see in it, in a sentence.
        caption: What it shows and how to read it.
        svg: The drawing.
        panels: Where its panels lie.
        small: The same figure drawn for a narrow page, if it is not shown panel by panel there.
    """

    name: str
    title: str
    caption: str
    svg: str
    panels: Panels = Panels()
    small: str = ""

    @property
    def narrow(self) -> int:
        """Width of the window, in pixels, below which panels are stacked or the figure scrolls."""
        return round(LEAST_PIXELS * self.panels.width) + BESIDE

    @property
    def least(self) -> int:
        """Smallest width, in pixels, at which its letters can be read."""
        return round(LEAST_PIXELS * self.panels.width)

    def drawing(self) -> Markup:
        """Return the drawing as a part of a page."""
        # Our own figures are the only text that is not escaped. The words of strangers in them
        # (class names) have been escaped by the SVG writer.
        return Markup(for_page(self.svg, self.name, self.title))

    def small_drawing(self) -> Markup:
        """Return the drawing for a narrow page as a part of a page."""
        return Markup(for_page(self.small, f"{self.name}-small", self.title))

    def views(self) -> list[tuple[str, Markup]]:
        """Return the panels one by one: name, and the part of the drawing."""
        return [(view.name, Markup(show_part(self.name, view.box))) for view in self.panels.views]


def load_templates() -> Environment:
    """Return the templates. They escape all text, and a missing value is an error."""
    templates = Environment(
        loader=PackageLoader("rootbound.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=keep_units,
    )
    templates.filters["breakable"] = mark_line_breaks
    return templates


def keep_units(value: object) -> object:
    """Return what a template prints: in a text, a number and its % stay on one line."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return value.replace(" %", "\N{NO-BREAK SPACE}%")


def mark_line_breaks(text: str) -> Markup:
    """Return a name with possible line breaks: before a bracket, after each setting, in words."""
    broken = BREAKS.sub(r"<wbr>\g<0>", str(escape(text)))
    return Markup(INSIDE.sub('<wbr class="inside">', broken))


def to_html(
    evaluation: Evaluation,
    summary: Summary,
    figures: Mapping[str, Sequence[Figure]],
    *,
    in_folder: bool,
) -> str:
    """Return the report as one HTML document.

    Args:
        evaluation: Everything that was measured.
        summary: The result in words and tables.
        figures: The figures by the section that they belong to.
        in_folder: Whether the page lies in the folder of its run, beside records and figures.
    """
    template = load_templates().get_template("report.html.j2")
    return template.render(
        title=summary.title,
        complete=evaluation.complete,
        summary=summary,
        first=show_first(evaluation),
        figures=figures,
        in_folder=in_folder,
        about_flags=ABOUT_FLAGS,
        sections=describe_each(evaluation),
        settings=describe_settings(evaluation),
        trainings=evaluation.trainings,
        trained=dict.fromkeys((one.method, str(one.settings)) for one in evaluation.trainings),
    )


def to_markdown(summary: Summary) -> str:
    """Return the summary as a Markdown document."""
    # Where there is no verdict on any model, the headline repeats the first sentence.
    first, *rest = dict.fromkeys(summary.headline)
    parts = [f"# {as_words(summary.title)}", f"**{as_words(first)}**", *map(as_words, rest)]
    for table in summary.tables:
        title = f"## {as_words(table.title)}"
        parts += [title, as_words(table.caption), table_to_markdown(table)]
    if summary.flags:
        parts += ["## Warning flags", flags_to_markdown(summary.flags)]
    parts += ["## Limits of the claim"]
    parts += ["\n".join(f"- {as_words(limit)}" for limit in summary.limits)]
    return "\n\n".join(parts) + "\n"
