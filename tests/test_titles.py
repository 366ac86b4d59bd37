"""Titles of figures and the first sentence of a leaderboard: their numbers are those of records."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import by_hand
from rootbound.metrics import measures as metrics
from rootbound.records import Evaluation
from rootbound.report import curves, titles
from rootbound.report.cases import Case, choose_best, find_cases
from rootbound.report.figures import draw, make_plot
from rootbound.report.leaderboard.entries import gather_entries
from rootbound.report.leaderboard.sentences import describe_best, describe_frontier
from rootbound.report.picture_titles import (
    Names,
    write_filters_title,
    write_grad_cam_title,
    write_view_title,
    write_words_title,
)
from rootbound.report.render import load_pictures
from rootbound.report.views import Panels, find_panels

GOLDEN = Path(__file__).parent / "golden"
NUMBER = re.compile(r"[-+]?\d+\.\d")
BOTH, ALONE = Names("A", "A", "Plain"), Names("A", "A")


@pytest.fixture(scope="module")
def golden() -> Evaluation:
    return Evaluation.load(GOLDEN)


@pytest.fixture(scope="module")
def case(golden: Evaluation) -> Case:
    best = choose_best(find_cases(golden))
    assert best is not None
    return best


def changed(evaluation: Evaluation, method: str, accuracy: float) -> Evaluation:
    """Return the evaluation in which every attack on a method reaches that."""
    return replace(evaluation, records=tuple(
        replace(one, accuracy=one.accuracy and accuracy, test=tuple(accuracy for _ in one.test))
        if one.method == method else one
        for one in evaluation.records))  # fmt: skip


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let figures be made, and not be written, which takes longest."""
    monkeypatch.setattr("rootbound.report.figures.to_svg", lambda _: "")
    monkeypatch.setattr("rootbound.report.figures.find_panels", lambda _: Panels())


def test_panels_are_named_after_themselves_or_their_column(golden: Evaluation) -> None:
    """On a narrow page they stand one below the other, and each must say what it shows."""
    for name, one_below_another in (("curves-labels", False), ("curves-steps", True)):
        plot = make_plot(golden, name)
        own = [panel.get_title() for panel in plot.axes if panel.axison and panel.get_visible()]
        shown = [view.name for view in find_panels(plot).views]
        assert len(set(shown)) == len(shown) > 2
        assert ("" in own) == one_below_another
        for title, called in zip(own, shown, strict=True):
            if one_below_another:
                assert called.partition(", ")[0] in own
            else:
                assert called == " ".join(title.split())


@pytest.mark.usefixtures("unwritten")
def test_every_figure_of_a_report_has_a_title_of_its_own(golden: Evaluation) -> None:
    figures = draw(golden, load_pictures(GOLDEN))
    said = [figure.title for several in figures.values() for figure in several]
    assert len(set(said)) == len(said) == 8
    assert all(len(title.split()) > 5 for title in said), said


@pytest.mark.usefixtures("unwritten")
def test_titles_change_with_the_records(golden: Evaluation) -> None:
    """A title that stood in the code would stay."""
    before, after = (
        {figure.name: figure.title for figure in draw(evaluation, {})["curves"]}
        for evaluation in (golden, changed(golden, "scratch", 0.4))
    )
    assert set(before) == set(after)
    assert all(before[name] != after[name] for name in before)


@pytest.mark.usefixtures("unwritten")
def test_skips_a_non_finite_loss(golden: Evaluation) -> None:
    """A network may give NaN for test samples, and numbers for those that validate."""
    tokens = {**golden.context["undesirable"], "stratified": False}
    records = tuple(
        replace(one, losses=(1.0,) * (len(one.steps) - one.seed) + (None,) * one.seed)
        if one.steps
        else one
        for one in golden.records
    )
    found = replace(golden, records=records, context={**golden.context, "undesirable": tokens})
    (figure,) = (one for one in draw(found, {})["curves"] if one.name == "curves-loss")
    assert "end at 1.00 nats, those of scratch at 1.00" in figure.title


def test_names_the_highest_end_of_a_curve(golden: Evaluation) -> None:
    names = metrics.families(golden)
    (case, _) = find_cases(changed(golden, "scratch", 0.5))
    highest = max(
        gain.mean
        for labels in metrics.budgets(golden)
        for name in names
        if (gain := metrics.advantage(case.evaluation, case.method, labels, name))
    )
    said = titles.write_steps_title(case, names)
    assert f"takes BestResponse {highest:.1f} points above the strongest attack on scratch" in said
    (case, _) = find_cases(changed(golden, "BestResponse", 0.1))
    assert titles.write_steps_title(case, names) == (
        "In none of these panels does BestResponse get above the strongest attack on scratch"
    )


@pytest.mark.parametrize(
    ("reached", "said"), [(0.4, "lose 10.0"), (0.5, "gain 0.0"), (0.625, "gain 12.5")]
)
def test_first_sentence_says_who_gains(golden: Evaluation, reached: float, said: str) -> None:
    evaluation = golden
    for name, accuracy in (("scratch", 0.5), ("Plain", 0.75), ("BestResponse", reached)):
        evaluation = changed(evaluation, name, accuracy)
    sentence = Case(evaluation, "BestResponse", ()).lead()
    assert f"of random ones {said} points of accuracy" in sentence
    assert "From the undefended weights they gain 25.0 points, with" in sentence


def test_title_of_labels_states_what_weights_add(case: Case) -> None:
    first, last = (float(number) for number in NUMBER.findall(titles.write_labels_title(case)))
    gains = list(case.gains.values())
    assert (first, last) == pytest.approx((gains[0].mean, gains[-1].mean), abs=0.05)


def test_counts_pictures() -> None:
    dark, bright = np.zeros((2, 3, 3), np.uint8), np.ones((3, 3, 3), np.uint8)
    name = "cam_retrained_undesirable"
    pictures = {"A": {name: np.concatenate([dark, bright])}, "Plain": {name: np.ones((5, 3, 3))}}
    assert write_grad_cam_title(pictures, BOTH, "5-9") == (
        "Retrained for 5-9, A finds evidence in 3 of 5 images, the undefended model in 5"
    )
    assert write_grad_cam_title(pictures, ALONE, "5-9").endswith("in 3 of 5 images")
    assert write_grad_cam_title({}, BOTH, "5-9") == "Where the models look"
    audited = {"defended": pictures["A"]}
    assert write_grad_cam_title(audited, Names("defended", "the model"), "5-9") == (
        "Retrained for 5-9, the model finds evidence in 3 of 5 images"
    )
    tiles = np.array([[[1.0]], [[-2.0]], [[0.001]]])
    assert write_filters_title({"A": {"filters": tiles}}, ALONE) == (
        "A uses 2 of 3 filters of the first layer"
    )
    of_audit = Names("defended", "the model")
    assert write_filters_title({"defended": {"filters": tiles}}, of_audit).startswith(
        "The model uses 2"
    )


def test_separate_classes_explain_the_spread() -> None:
    labels = np.array([0, 0, 1, 1])
    apart = np.array([[0.0, 0.0], [0.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
    mixed = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
    pictures = {
        "A": {"view": mixed, "view_labels": labels},
        "Plain": {"view": apart, "view_labels": labels},
    }
    assert write_view_title(pictures, BOTH) == (
        "Undesirable classes explain 0 % of the spread in A, 100 % in the undefended model"
    )


def test_counts_words_that_both_rely_on() -> None:
    name = "shares_retrained_undesirable"
    own, usual = np.array([[0.1, -0.9], [0.8, 0.1]]), np.array([[0.2, 0.7], [0.1, 0.6]])
    said = write_words_title({"A": {name: own}, "Plain": {name: usual}}, BOTH)
    assert said == "Retrained, A rests on the undefended model's word in 1 of 2 texts"


def test_leaderboard_names_the_best_reliable_method(golden: Evaluation) -> None:
    rows = gather_entries(golden, ())
    best = next(row for row in rows if row.standing.change is not None)
    said = describe_best(rows)
    assert said.startswith(f"{best.standing.method} leaves attackers least: ")
    broken = replace(golden, trainings=tuple(
        replace(one, desirable_accuracy=0.3) if one.method == best.standing.method else one
        for one in golden.trainings))  # fmt: skip
    other = gather_entries(broken, ())
    assert not describe_best(other).startswith(best.standing.method)
    assert describe_frontier(other).endswith("; 1 is unreliable")
    assert describe_frontier(rows).startswith("With 2 of 2 methods attackers gain less than 5")
    alone = [row for row in rows if row.standing.method in ("Plain", "BestResponse")]
    assert describe_frontier(alone) == (
        "Attackers of BestResponse gain +0.0 points over scratch at most; the price is 0.00 points "
        "of desirable accuracy"
    )
    lost = replace(golden, trainings=tuple(
        replace(one, desirable_accuracy=0.3) if one.arm == "defended" else one
        for one in golden.trainings))  # fmt: skip
    assert describe_best(gather_entries(lost, ())) == "No method has a reliable number."


def test_losses_are_in_nats_for_the_right_arms() -> None:
    run = by_hand.evaluation()
    good = next(one for one in find_cases(run) if one.method == "Good")
    assert titles.write_losses_title(good) == (
        "With all labels, attackers of Good end at 1.25 nats, those of scratch at 0.75"
    )
    figure = curves.against_steps(run, losses=True)
    plt.close(figure)
    ends = {
        str(line.get_label()): float(np.asarray(line.get_ydata())[-1])
        for line in figure.axes[-1].get_lines()
    }
    assert ends == pytest.approx({"Plain": 0.5, "Good": 1.25, "Weak": 1.0, "scratch": 0.75})
