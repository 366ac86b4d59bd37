"""The first screen of a report: a word that the intervals support, and names that people know."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

import by_hand
from rootbound import report
from rootbound.flags import flags
from rootbound.methods import METHODS
from rootbound.metrics import Estimate
from rootbound.records import Configuration, Evaluation
from rootbound.report import gate
from rootbound.report.attack_names import KNOWING, REPAIRS, describe_attack, describe_attacks
from rootbound.report.cases import GENERIC, choose_best, find_cases
from rootbound.report.first_screen import show_first
from rootbound.report.head_start import LARGE, MEANINGS, judge_head_start
from rootbound.report.headline import describe_gains, describe_run
from rootbound.report.titles import write_head_start_title
from rootbound.suites import SUITES

GOLDEN = Path(__file__).parent / "golden"
NOTHING = Estimate(-0.4, -1.5, 0.7, 9)
LITTLE = Estimate(2.0, 0.5, 3.5, 9)
MUCH = Estimate(9.0, 6.0, 12.0, 9)
ANYTHING = Estimate(-5.0, -35.0, 25.0, 3)
ONE_DRAW = Estimate(17.0, -math.inf, math.inf, 1)


@pytest.mark.parametrize(
    ("gains", "word"),
    [
        ([NOTHING], "none measured"),
        ([NOTHING, NOTHING], "none measured"),
        ([Estimate(0.0, 0.0, 0.0, 2)], "none measured"),
        ([NOTHING, LITTLE], "small"),
        # The value decides between small and large, not how far the interval reaches.
        ([Estimate(4.0, 0.1, 7.9, 3)], "small"),
        ([NOTHING, MUCH], "large"),
        ([ANYTHING, MUCH], "large"),
        ([Estimate(LARGE, 0.1, 9.9, 3)], "large"),
        ([ANYTHING, LITTLE], "at least small"),
        ([NOTHING, ANYTHING], "no verdict"),
        ([Estimate(1.0, -3.0, LARGE, 3)], "no verdict"),
        ([ONE_DRAW], "no verdict"),
        ([NOTHING, ONE_DRAW], "no verdict"),
        ([], "no verdict"),
    ],
)
def test_intervals_support_the_word(gains: list[Estimate], word: str) -> None:
    assert judge_head_start(dict(enumerate(gains))) == word
    assert word in MEANINGS


def test_every_attack_has_a_readable_name() -> None:
    families = {attack.family for suite in SUITES.values() for attack in suite.attacks}
    families |= {
        attack.family for method in METHODS.values() for attack in method().adaptive_attacks()
    }
    assert len(families) > 30
    for family in families:
        words = describe_attack(family)
        assert words != family, f"{family!r} is called as in records"
        assert not any(repair in words for repair in REPAIRS), words


@pytest.mark.parametrize("kind", list(KNOWING))
def test_names_attacks_that_know_the_method(kind: str) -> None:
    known = [attack.family for attack in METHODS[kind]().adaptive_attacks()]
    assert "the attack that knows the method" in [describe_attack(one, kind) for one in known]
    other = next(name for name in KNOWING if name != kind)
    assert "the attack that knows the method" not in [describe_attack(one, other) for one in known]


def test_names_one_attack_and_counts_the_others() -> None:
    names = ["all layers", "last 2 layers", "probe, all blocks"]
    assert describe_attacks(names[:1]) == "fine-tuning all layers"
    assert describe_attacks(names[:2]) == "fine-tuning all layers, and 1 other attack"
    assert describe_attacks(names) == "fine-tuning all layers, and 2 other attacks"


def test_no_good_word_where_the_gate_would_not_pass() -> None:
    golden = Evaluation.load(GOLDEN)
    # Whoever starts from scratch does as well, to the last sample.
    few = replace(golden, records=tuple(
        replace(one, accuracy=one.accuracy and 0.5, test=tuple(0.5 for _ in one.test))
        for one in golden.records))  # fmt: skip
    first = show_first(few)
    assert (first.word, first.look) == ("no verdict", "open")
    assert any("60 test samples cannot rule out 5 points" in one for one in first.sentences)
    tested = {**golden.context["undesirable"], "test_samples": 1000}
    even = replace(few, context={**golden.context, "undesirable": tested})
    first = show_first(even)
    assert (first.word, first.look) == ("none measured", "none")
    unseen = replace(even, context={**even.context, "one_block": {
        case.method: 3 for case in find_cases(even)}})  # fmt: skip
    first = show_first(unseen)
    assert (first.word, first.look) == ("no verdict", "open")
    assert any("would say 'none measured', but" in sentence for sentence in first.sentences)
    hurried = replace(even, context={**even.context, "time": {"stopped": True}})
    reason = "The time was over after 4 of at least 12 families of attacks."
    (case, *_) = find_cases(hurried)
    assert case.word == "no verdict" and reason in case.doubts
    assert reason in gate.why_not_to_trust(hurried, case.method, flags(hurried))
    in_time = replace(even, context={**even.context, "time": {"stopped": False}})
    assert find_cases(in_time)[0].word == "none measured"
    broken = replace(even, trainings=tuple(
        replace(one, desirable_accuracy=0.3) if one.arm == "defended" else one
        for one in even.trainings))  # fmt: skip
    first = show_first(broken)
    assert (first.word, first.look) == ("no verdict", "open")
    assert first.sentences[0].startswith("A low number would mean nothing here: desirable accuracy")
    words = [model["head_start"] for model in report.verdict(broken)["models"]]
    assert words == ["no verdict", "no verdict"]
    for name, plot in report.plots(broken).items():
        if plot.legends:
            shown = {text.get_text() for text in plot.legends[0].get_texts()}
            assert {"Plain", "scratch", "BestResponse (unreliable)"} <= shown, name


def test_no_good_word_with_missing_label_counts() -> None:
    golden = Evaluation.load(GOLDEN)
    even = replace(
        golden,
        context={
            **golden.context,
            "undesirable": {**golden.context["undesirable"], "test_samples": 1000},
        },
        records=tuple(
            replace(one, accuracy=one.accuracy and 0.5, test=tuple(0.5 for _ in one.test))
            for one in golden.records
        ),
    )
    case = find_cases(even)[0]
    assert case.word == "none measured" and len(case.gains) > 1
    labels = list(case.gains)[-1]
    failed = tuple(
        replace(one, accuracy=None, error="KeyError: no")
        if (one.method, one.labels) == ("scratch", labels)
        else one
        for one in even.records
    )
    case = find_cases(replace(even, records=failed))[0]
    assert case.word == "no verdict" and not case.why_unreliable
    assert case.why_no_verdict().endswith("no attack finished on every arm.")
    assert write_head_start_title(case).endswith("no attack finished on every arm")


def with_desirable(evaluation: Evaluation, accuracy: float) -> Evaluation:
    """Return the run in which the model `Good` has another desirable accuracy."""
    return replace(evaluation, trainings=tuple(
        replace(one, desirable_accuracy=accuracy) if one.method == "Good" else one
        for one in evaluation.trainings))  # fmt: skip


def test_facts_are_about_the_right_arms() -> None:
    first = show_first(by_hand.evaluation(public=True))
    assert (first.heading, first.word) == ("Head start from the weights of Good", "small")
    assert first.others == ("large for Weak",)
    price, strongest, exact, flag = first.facts
    assert (price.text, price.note) == (
        "0.60 points", "cats: 97.40 % right, undefended 98.00 %"
    )  # fmt: skip
    assert strongest.note == (
        "with 10 labels per class: 62.0 % from these weights, 80.0 % from the undefended, "
        "61.0 % from the public model, 60.0 % from scratch"
    )
    assert exact.text == "55.0 % (54.5 to 55.5)"
    assert exact.note == "with all labels, undefended 70.0 %, scratch 56.0 %"
    assert flag.text == "none raised"


@pytest.mark.parametrize(
    ("accuracy", "text"),
    [(0.977, "0.30 points"), (0.98, "0.00 points"), (0.985, "none")],
)
def test_small_price_is_shown(accuracy: float, text: str) -> None:
    price, *_ = show_first(with_desirable(by_hand.evaluation(), accuracy)).facts
    assert price.text == text


def test_names_the_most_important_flag_of_any_arm() -> None:
    unseen = by_hand.evaluation(one_block={"Good": 3, "Weak": 3})
    worst = replace(unseen, trainings=tuple(
        replace(one, desirable_accuracy=0.3) if one.arm == "defended" else one
        for one in unseen.trainings))  # fmt: skip
    flag = show_first(worst).facts[-1]
    assert flag.text == "desirable accuracy lost" and flag.note.endswith(". 1 more flag is below")
    broken = tuple(
        replace(one, error="boom", accuracy=None, halves=(), steps=(), test=())
        if one.method == "scratch" and one.family == "last 2 layers"
        else one
        for one in by_hand.evaluation().records
    )
    flag = show_first(replace(by_hand.evaluation(), records=broken)).facts[-1]
    assert flag.title == "Most important flag" and flag.text.endswith(" (scratch)")


def test_best_method_leaves_least_not_varies_most() -> None:
    run = by_hand.evaluation()
    # 2.5 points on average, in an interval from far below zero.
    varied = tuple(
        replace(one, accuracy=reached, halves=(reached, reached))
        if (one.method, one.task) == ("Weak", "undesirable")
        else one
        for one in run.records
        for level in [{10: 0.625, None: 0.77}[one.labels] + 0.04 * (one.seed - 1)]
        for reached in [level - by_hand.BELOW[one.family]]
    )
    run = replace(run, records=varied)
    gains = {case.method: case.worst for case in find_cases(run)}
    good, weak = gains["Good"], gains["Weak"]
    assert good is not None and weak is not None
    assert good[1].mean < weak[1].mean and good[1].low > weak[1].low
    best = choose_best(find_cases(run))
    assert best is not None and best.method == "Good"


def test_control_is_never_the_best() -> None:
    run = by_hand.evaluation()
    control = replace(run, trainings=tuple(
        replace(one, settings=Configuration(GENERIC, {})) if one.method == "Good" else one
        for one in run.trainings))  # fmt: skip
    best = choose_best(find_cases(control))
    assert best is not None and best.method == "Weak"


def test_sentences_hold_the_numbers_of_the_right_arms() -> None:
    exact, kept, gains, beside = describe_run(by_hand.evaluation(public=True))
    assert exact == (
        "Solved exactly, a new last layer for dogs reaches 55.0 % (54.5 to 55.5) on the model "
        "trained with Good, 70.0 % (67.5 to 72.5) on the undefended one, 56.0 % (54.8 to 57.2) on "
        "random weights (scratch); always naming the most frequent class gives 50.0 %."
    )
    assert kept == (
        "On cats it classifies 97.40 % of the test images correctly, -0.60 points against the "
        "undefended model (-0.85 to -0.35)."
    )
    assert "+2.00 points with 10 labels per class (1.25 to 2.75), -1.00 points with all" in gains
    assert "+1.00 points with 10 labels per class (0.01 to 1.99), -3.00 points with all" in beside
    said = describe_gains(by_hand.evaluation(public=True), "Good")
    assert said[:2] == [
        "With 10 labels per class an attacker reaches 62.0 % (61.5 to 62.5) from these weights and "
        "60.0 % (58.8 to 61.2) from random ones: +2.00 points (1.25 to 2.75).",
        "From the public model it reaches 61.0 % (59.5 to 62.5): over that these weights give "
        "+1.00 points (0.01 to 1.99).",
    ]
    assert said[4] == (
        "To the stronger of random weights and the public model these weights add +1.00 points at "
        "most (with 10 labels per class; 0.01 to 1.99)."
    )


def test_trained_models_vary_by_seed_and_given_ones_by_draw() -> None:
    trained = Evaluation.load(GOLDEN)
    models = tuple(replace(one, settings="as given") for one in trained.trainings)
    given = replace(trained, trainings=models)
    for evaluation, values, title in ((trained, "seeds", "Seeds"), (given, "draws", "Draws of")):
        case = find_cases(evaluation)[0]
        assert (
            f" the 2 {values} differ so much that the head start may be " in case.why_no_verdict()
        )
        assert write_head_start_title(case).startswith(title)
