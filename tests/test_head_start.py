"""The first screen of a report: a word that the intervals support, and names that people know."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from rootbound import report
from rootbound.flags import flags
from rootbound.methods import METHODS
from rootbound.metrics import Estimate
from rootbound.records import Evaluation
from rootbound.report import gate
from rootbound.report.attack_names import KNOWING, REPAIRS, describe_attack, describe_attacks
from rootbound.report.cases import find_cases
from rootbound.report.first_screen import show_first
from rootbound.report.head_start import LARGE, MEANINGS, judge_head_start
from rootbound.report.titles import head_start_title
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
def test_the_word_is_one_that_the_intervals_support(gains: list[Estimate], word: str) -> None:
    assert judge_head_start(dict(enumerate(gains))) == word
    assert word in MEANINGS


def test_every_attack_of_every_suite_has_a_name_for_people() -> None:
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
def test_the_attack_that_knows_a_method_is_called_so(kind: str) -> None:
    known = [attack.family for attack in METHODS[kind]().adaptive_attacks()]
    assert "the attack that knows the method" in [describe_attack(one, kind) for one in known]
    other = next(name for name in KNOWING if name != kind)
    assert "the attack that knows the method" not in [describe_attack(one, other) for one in known]


def test_one_attack_is_named_and_the_others_are_counted() -> None:
    names = ["all layers", "last 2 layers", "probe, all blocks"]
    assert describe_attacks(names[:1]) == "fine-tuning all layers"
    assert describe_attacks(names[:2]) == "fine-tuning all layers, and 1 other attack"
    assert describe_attacks(names) == "fine-tuning all layers, and 2 other attacks"


def test_no_good_word_where_the_gate_would_not_say_that_it_holds() -> None:
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


def test_no_good_word_where_nothing_was_measured_with_some_labels() -> None:
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
    assert case.why_open().endswith("no attack finished on every arm.")
    assert head_start_title(case).endswith("no attack finished on every arm")
