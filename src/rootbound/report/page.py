"""The summary and the figures as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rootbound.records import Evaluation
from rootbound.report.curves import in_words
from rootbound.report.summary import Summary
from rootbound.report.theme import for_page


@dataclass(frozen=True)
class Figure:
    """A figure of the report: its file name, what it shows, and its SVG text."""

    name: str
    title: str
    caption: str
    svg: str


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
    environment = Environment(
        loader=PackageLoader("rootbound.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Our own figures are the only text that is not escaped; what they contain of strangers'
    # words (class names) the SVG writer has escaped.
    inline = {
        section: [
            (figure, Markup(for_page(figure.svg, figure.name, figure.title))) for figure in several
        ]
        for section, several in figures.items()
    }
    return environment.get_template("report.html.j2").render(
        title=title,
        complete=evaluation.complete,
        summary=summary,
        figures=inline,
        settings=settings(evaluation),
        trainings=evaluation.trainings,
    )


def settings(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return threat model, settings, versions and hardware as pairs of words."""
    context = evaluation.context
    desirable, undesirable = context["desirable"], context["undesirable"]
    budgets = "; ".join(
        f"{in_words(one['labels'])}, {one['steps']} steps" for one in context["budgets"]
    )
    share, limit = context["validation_share"], context["validation_limit"]
    pairs = [
        ("Desirable task", f"{desirable['name']}: {_counts(desirable)}"),
        ("Undesirable task", f"{undesirable['name']}: {_counts(undesirable)} (the attacker's)"),
        (
            "The defender's undesirable samples",
            f"{context['defender_undesirable_samples']}, "
            + (
                "shared with the attacker"
                if context["shared_undesirable"]
                else "disjoint from the attacker's"
            ),
        ),
        (
            "The attacker knows",
            "the weights, labelled undesirable samples, every attack of the suite; it may "
            "retrain any number of layers, and does not know the method or the desirable data",
        ),
        (
            "The attacker chooses",
            f"settings and stopping step on {share:.0%} of its labels, at most {limit} a class; "
            "never on test samples",
        ),
        (
            "Suite",
            f"{context['suite']} ({context['suite_digest']}): {context['trials']} trials a budget, the same for every arm",
        ),
        ("Budgets", budgets),
        (
            "Model",
            f"{context['model']}, {context['layers']} layers, {context['parameters']:,} parameters",
        ),
        (
            "Seeds",
            f"{context['seeds']}: each draws weights, batches and the attacker's labels, and "
            "scratch weights of its own",
        ),
        (
            "Curves",
            f"scored on {context['curve_samples']} fixed test samples; "
            "tables on the whole test set",
        ),
        ("Versions", ", ".join(f"{name} {number}" for name, number in context["versions"].items())),
        (
            "Machine",
            f"{context['machine']}; {context.get('workers', '?')} worker processes, "
            "one thread each",
        ),
        ("Date", str(context["date"])),
    ]
    if "seconds" in context:
        pairs.append(("Time", f"{context['seconds']:.0f} s for training and attacking everything"))
    return pairs


def _counts(task: Mapping[str, object]) -> str:
    return f"{task['training_samples']} training and {task['test_samples']} test samples"
