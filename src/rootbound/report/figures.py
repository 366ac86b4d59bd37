"""The figures of a report: how each is drawn, and what it shows in words."""

from __future__ import annotations

from collections.abc import Callable, Collection

import matplotlib.pyplot as plt
from matplotlib.figure import Figure as Plot

from rootbound.core.errors import InputError, unknown_name_error
from rootbound.metrics import measures as metrics
from rootbound.records import Evaluation
from rootbound.report import curves, portraits
from rootbound.report.bars import draw_bars, list_arms
from rootbound.report.cases import Case, choose_best, find_cases
from rootbound.report.page import Figure
from rootbound.report.picture_titles import (
    Names,
    write_filters_title,
    write_grad_cam_title,
    write_maps_title,
    write_view_title,
    write_words_title,
)
from rootbound.report.portraits import Pictures
from rootbound.report.theme import styled, to_svg
from rootbound.report.titles import (
    write_head_start_title,
    write_labels_title,
    write_losses_title,
    write_steps_title,
    write_trials_title,
)
from rootbound.report.views import find_panels
from rootbound.report.words import draw_words

Plan = tuple[str, str, str, Callable[[], Plot | None]]
"""Name as a file, title, caption, and what draws the figure; nothing where it has no data."""
SECTIONS = ("verdict", "curves", "portraits")
"""Sections of the page that have figures."""


def draw(evaluation: Evaluation, pictures: Pictures) -> dict[str, list[Figure]]:
    """Return the figures of an evaluation by section."""
    figures: dict[str, list[Figure]] = {section: [] for section in SECTIONS}
    with styled():
        for section, several in _make_plans(evaluation, pictures).items():
            for name, title, caption, draw_plot in several:
                if (plot := draw_plot()) is not None:
                    svg = to_svg(plot)
                    panels = find_panels(plot)
                    figures[section].append(Figure(name, title, caption, svg, panels))
                    plt.close(plot)
    return figures


def plots(evaluation: Evaluation, pictures: Pictures | None = None) -> dict[str, Plot]:
    """Return the figures of a report as those of matplotlib, by the names of their files.

    `plots(evaluation)["curves-labels"].savefig("labels.pdf")` writes one as PDF.

    Args:
        evaluation: Everything that was measured.
        pictures: The result of `load_pictures` for a run folder; without it only curves are drawn.
    """
    found: dict[str, Plot] = {}
    with styled():
        for several in _make_plans(evaluation, pictures or {}).values():
            for name, _, _, draw_plot in several:
                if (plot := draw_plot()) is not None:
                    found[name] = plot
                    plt.close(plot)  # pyplot forgets the figure, which can still be shown and saved
    return found


def make_plot(evaluation: Evaluation, name: str, pictures: Pictures | None = None) -> Plot:
    """Return one of the figures that `plots` returns, and draw no other.

    Raises:
        InputError: There is no figure of that name, or there are no data for it.
    """
    plans = [
        plan for several in _make_plans(evaluation, pictures or {}).values() for plan in several
    ]
    by_name = {called: draw_plot for called, _, _, draw_plot in plans}
    if name not in list(by_name):
        raise unknown_name_error("figure", name, by_name)
    with styled():
        drawn = by_name[name]()
    if drawn is None:
        raise InputError(
            f"what the figure {name!r} shows", "none of it", "give the folder of a run that has it"
        )
    plt.close(drawn)
    return drawn


def _make_plans(evaluation: Evaluation, pictures: Pictures) -> dict[str, list[Plan]]:
    if not evaluation.records:
        return {}
    cases = find_cases(evaluation)
    case = choose_best(cases)
    doubtful = [one.method for one in cases if one.why_unreliable]
    return {
        "verdict": [] if case is None else _plan_verdict(case),
        "curves": _plan_curves(evaluation, case, doubtful),
        "portraits": _plan_portraits(evaluation, pictures, case),
    }


def _plan_verdict(case: Case) -> list[Plan]:
    starts = {
        "undefended": "undefended weights", "defended": f"the weights of {case.called}",
        "public": "the public model", "scratch": "random ones (scratch)",
    }  # fmt: skip
    *first, last = [starts[arm] for arm in list_arms(case.evaluation, case.method)]
    listed = f"{', '.join(first)} and {last}" if first else last
    several = len({training.seed for training in case.evaluation.trainings}) > 1
    spread = "seeds" if several else "draws of labels"
    return [
        ("head-start", write_head_start_title(case),
         f"What the strongest attackers reach on {case.evaluation.context['undesirable']['name']} "
         f"when they start from {listed}. Lines are 95 % intervals over {spread}; the "
         "dotted line is what always naming the most frequent class gives."
         f"{HATCHED if case.why_unreliable else ''}",
         lambda: draw_bars(case)),
    ]  # fmt: skip


HATCHED = " Bars are hatched where a low one means nothing."
UNTITLED = {
    "curves-steps": "The attackers' accuracy over their steps",
    "curves-loss": "The attackers' cross-entropy over their steps",
    "curves-labels": "The attackers' accuracy over their labels",
    "curves-trials": "The attackers' accuracy over their trials",
}
"""Titles of the curves if no defended model was attacked."""
LAST_PANEL = {
    False: "In the last panel the attacker chooses among all attacks.",
    True: "The last panel is of the well-tuned attacker: the mean of the strongest families.",
}
"""What the panel of the strongest attack shows, by whether records know the well-tuned attacker."""


def _plan_curves(
    evaluation: Evaluation, case: Case | None, doubtful: Collection[str]
) -> list[Plan]:
    has_public = metrics.public(evaluation) is not None
    public = " Lines of long and short dashes start from the public model." if has_public else ""
    families = curves.list_stepwise_families(evaluation)
    plans: list[Plan] = [
        ("curves-steps", write_steps_title(case, families) if case else "",
         "Accuracy against the attacker's steps: the mean over draws of the trial that the "
         "attacker's validation samples chose; bands span the draws. Dashed lines start from "
         f"random weights.{public} The dotted line is what always naming the most frequent class "
         "gives.",
         lambda: curves.against_steps(evaluation, doubtful)),
        ("curves-labels", write_labels_title(case) if case else "",
         "Accuracy against the attacker's labels, at the step that validation chose; bands span "
         f"the draws. {LAST_PANEL[metrics.is_well_tuned(evaluation)]}",
         lambda: curves.against_labels(evaluation, doubtful)),
        ("curves-trials", write_trials_title(case) if case else "",
         "Accuracy after each number of trials, with the setting that the attacker's validation "
         "samples prefer so far, on the curve's test samples. Where a defence breaks only after "
         "much tuning, its line rises late.", lambda: curves.against_trials(evaluation, doubtful)),
    ]  # fmt: skip
    if not evaluation.context["undesirable"].get("stratified", True):
        plans.insert(1, (
            "curves-loss", write_losses_title(case) if case else "",
            "Cross-entropy against the attacker's steps: the same trials on the same samples. A "
            "language model is judged by this number.",
            lambda: curves.against_steps(evaluation, doubtful, losses=True)))  # fmt: skip
    return [(name, title or UNTITLED[name], text, plot) for name, title, text, plot in plans]


def _plan_portraits(evaluation: Evaluation, pictures: Pictures, case: Case | None) -> list[Plan]:
    context, plain = evaluation.context, metrics.undefended(evaluation)
    names = Names(*(("", "") if case is None else (case.method, case.called)), plain)
    classes = {
        role: list(context[role]["classes"])
        for role in ("desirable", "undesirable")
        if context[role] is not None
    }
    return [
        ("grad-cam", write_grad_cam_title(pictures, names, context["undesirable"]["name"]),
         "Where the models look (Grad-CAM) in the first test image of each class, with seed 0. "
         "Maps of the original head are for the true class of desirable images and for the "
         "predicted one of undesirable images. Maps of the retrained head (exact, all labels) are "
         "for the true undesirable class. Each map is scaled to its own maximum; an image without "
         "colour has no positive evidence anywhere.",
         lambda: portraits.draw_grad_cam(pictures, classes)),
        ("words", write_words_title(pictures, names),
         "Which words count (integrated gradients) in the first test text of each class, with "
         "seed 0. Rows of the original head are for the true class of desirable texts and for the "
         "predicted one of undesirable texts. Rows of the retrained head (exact, all labels) are "
         "for the true undesirable class. Green words speak for the class, red ones against it; "
         "each text has a scale of its own. Two words of these texts that hash to one number are "
         "both shown as the first of them.",
         lambda: draw_words(pictures, classes)),
        ("feature-view", write_view_title(pictures, names),
         "Undesirable test samples as the models see them: features before the last layer, "
         "projected on their first two principal axes. Each panel has axes of its own, and leaves "
         "the outermost 1 % out; colours are the undesirable classes.",
         lambda: portraits.draw_features(pictures, classes["undesirable"])),
        ("filters", write_filters_title(pictures, names),
         "Up to 16 filters of the first layer, each as the mean over its channels. Each row has a "
         "scale of its own; red is positive, blue negative.",
         lambda: portraits.draw_filters(pictures)),
        ("feature-maps", write_maps_title(pictures, names),
         "Outputs of the convolution of the Grad-CAM maps for one undesirable image: the last one, "
         "or the last with a map of at least 4 by 4. Up to 16 channels are shown, after the "
         "ReLU; each row has a scale of its own.",
         lambda: portraits.draw_feature_maps(pictures)),
    ]  # fmt: skip
