"""The verdict for machines and in one sentence: it agrees with the records and claims no more."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import Rectangle

import by_hand
import rootbound as rb
from rootbound import report
from rootbound.core.errors import InputError
from rootbound.flags import BEHAVIOUR_FLAGS, FLAGS, Raised, flags
from rootbound.metrics import measures as metrics
from rootbound.records import Evaluation, Record
from rootbound.report.bars import draw_bars
from rootbound.report.cases import find_cases
from rootbound.report.doubts import list_time_doubts
from rootbound.report.first_screen import show_first
from rootbound.report.gate import Judgement, in_a_sentence, judge
from rootbound.report.headline import describe_run
from rootbound.report.leaderboard.claims import Challenge
from rootbound.report.leaderboard.entries import gather_entries
from rootbound.report.leaderboard.table import tabulate_entries
from rootbound.report.limits import list_limits
from rootbound.report.page import to_markdown
from rootbound.report.settings import describe_settings, describe_time
from rootbound.report.summary import summarise
from rootbound.report.verdicts import SCHEMA, first_sentence

GOLDEN = Path(__file__).parent / "golden"
METHODS = ("BestResponse", "SelectiveDistillation")


@pytest.fixture(scope="module")
def golden() -> Evaluation:
    return Evaluation.load(GOLDEN)


def checked(evaluation: Evaluation, limit: float | None = None) -> dict[str, Any]:
    """Return a verdict as a reader of the file gets it; JSON has no NaN and no infinity."""
    text = json.dumps(report.verdict(evaluation, limit), allow_nan=False)
    values: dict[str, Any] = json.loads(text)
    jsonschema.validate(values, SCHEMA)
    return values


def failing(evaluation: Evaluation, *methods: str) -> Evaluation:
    """Return the evaluation with most trials on some methods failed."""

    def fail(number: int, record: Record) -> Record:
        if record.method not in methods or number % 3 == 0:
            return record
        return replace(record, error="boom", accuracy=None, halves=(), steps=(), test=())

    records = tuple(fail(number, one) for number, one in enumerate(evaluation.records))
    return replace(evaluation, records=records)


def known(evaluation: Evaluation, **context: Any) -> Evaluation:
    """Return the evaluation with something more in its context."""
    return replace(evaluation, context={**evaluation.context, **context})


def test_schema_has_the_name_that_verdicts_state(golden: Evaluation) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert f"{checked(golden)['schema']}.json" == SCHEMA["$id"]
    with pytest.raises(jsonschema.ValidationError, match="verdict-1"):
        jsonschema.validate({**checked(golden), "schema": "rootbound-verdict-2"}, SCHEMA)


@pytest.mark.parametrize("name", list(SCHEMA["required"]))
def test_schema_refuses_an_incomplete_verdict(name: str, golden: Evaluation) -> None:
    values = checked(golden)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({key: values[key] for key in values if key != name}, SCHEMA)


def test_verdict_matches_the_records(golden: Evaluation) -> None:
    values = checked(golden)
    assert [model["model"] for model in values["models"]] == list(METHODS)
    assert values["limits"] == list_limits(golden.context)
    assert values["attacker"] == "realistic"  # they are older
    for model in values["models"]:
        name = model["model"]
        assert [cell["labels"] for cell in model["cells"]] == metrics.budgets(golden)
        for cell in model["cells"]:
            labels = cell["labels"]
            gain = metrics.advantage(golden, name, labels)
            assert gain is not None and cell["advantage"]["mean"] == pytest.approx(
                gain.mean, abs=1e-4
            )
            own, usual = (metrics.attacked(golden, one, labels) for one in (name, "Plain"))
            against = metrics.paired(own, usual)
            assert against is not None
            assert cell["against_undefended"]["low"] == pytest.approx(against.low, abs=1e-4)
            assert cell["marginal_advantage"] == cell["advantage"]
            assert cell["advantage_over_public"] is None
            assert cell["upper_bound"]["mean"] >= cell["median_family"]
        price = metrics.paired(metrics.desirable(golden, "Plain"), metrics.desirable(golden, name))
        assert price is not None
        assert model["desirable"]["price"]["mean"] == pytest.approx(price.mean, abs=1e-4)
        own_flags = {one.flag for one in flags(golden) if one.method in (name, "scratch")}
        assert {one["flag"] for one in model["flags"]} == own_flags
        assert model["gate"] is None
    assert golden.complete and values["complete"]


def numbers(values: Any) -> Iterator[float]:
    if isinstance(values, dict | list):
        for one in values.values() if isinstance(values, dict) else values:
            yield from numbers(one)
    elif isinstance(values, float):
        yield values


def test_numbers_are_finite_with_one_draw_or_none(golden: Evaluation) -> None:
    one_seed = replace(
        golden,
        trainings=tuple(one for one in golden.trainings if one.seed == 0),
        records=tuple(one for one in golden.records if one.seed == 0),
    )
    without_scratch = replace(
        golden, records=tuple(one for one in golden.records if one.method != "scratch")
    )
    nothing = replace(golden, trainings=(), records=(), complete=False)
    for evaluation in (one_seed, without_scratch, nothing):
        values = checked(evaluation, 1.0)
        assert all(map(math.isfinite, numbers(values)))
        assert not any(model["gate"]["end"] == "holds" for model in values["models"])
    assert checked(one_seed)["models"][0]["cells"][0]["advantage"]["low"] is None
    assert "one draw, so no interval" in first_sentence(one_seed)
    assert first_sentence(nothing).startswith("No verdict: no defended model")
    assert "no attack finished on every arm" in first_sentence(without_scratch)


def test_says_that_the_time_was_over_before_anything_was_tried(golden: Evaluation) -> None:
    """Not that test samples are too few, nor which settings were tried with how many steps."""
    rungs = [{"labels": 10, "settings": [0], "steps": [4]}]
    limit = {"stopped": True, "minutes": 0.3, "spent": 18.0, "rounds": 0, "rungs": rungs}
    context = dict(golden.context) | {"time": limit}
    nothing = replace(golden, trainings=(), records=(), complete=False, context=context)
    over = "the time was over before a model was attacked: give it more minutes"
    assert first_sentence(nothing) == f"No verdict: {over}."
    assert show_first(nothing).sentences == (f"T{over[1:]}.",)
    judged = judge(nothing, "defended", 1.0, [])
    assert in_a_sentence(judged, nothing) == f"undecided: {over}"
    assert "10 labels per class" not in describe_time(context)["Time limit"]


def test_no_verdict_says_why_in_the_same_sentence(golden: Evaluation) -> None:
    for case in find_cases(golden):
        if case.word == "no verdict" and (why := case.why_no_verdict()):
            assert case.sentence(named=True).endswith(why[1:])
            break
    else:
        pytest.fail("every method of the golden run has a verdict")


@pytest.mark.parametrize("limit", [math.nan, math.inf])
def test_limit_must_be_a_number(limit: float, golden: Evaluation) -> None:
    with pytest.raises(InputError, match="a number of points"):
        rb.report.verdict(golden, limit)


def test_sentence_is_about_the_best_reliable_method(golden: Evaluation) -> None:
    worst = {
        name: max(
            gain.mean
            for labels in metrics.budgets(golden)
            if (gain := metrics.marginal_advantage(golden, name, labels))
        )
        for name in METHODS
    }
    best = min(METHODS, key=lambda name: worst[name])
    sentence = first_sentence(golden)
    assert sentence.startswith(f"Head start of {best}: ")
    assert f"it is {round(worst[best], 1) + 0.0:+.1f} points over scratch" in sentence
    (other,) = set(METHODS) - {best}
    broken = failing(golden, best)
    assert first_sentence(broken).startswith(f"Head start of {other}: ")
    said = " ".join(describe_run(broken))
    assert other in said and best not in said
    values = {model["model"]: model for model in checked(broken)["models"]}
    assert (values[best]["reliable"], values[other]["reliable"]) == (False, True)
    assert values[best]["sentence"].startswith(f"No verdict on {best}: ")
    assert "failed trials" in values[best]["sentence"]


def test_sentence_claims_nothing_if_all_are_unreliable(golden: Evaluation) -> None:
    broken = failing(golden, *METHODS)
    assert first_sentence(broken).startswith("No verdict on ")
    assert all(sentence.startswith("No verdict on ") for sentence in describe_run(broken))
    assert len(describe_run(broken)) == 2
    assert to_markdown(summarise(broken)).count(first_sentence(broken)) == 1


def test_only_unreliable_bars_are_hatched(golden: Evaluation) -> None:
    for evaluation, hatched in ((golden, False), (failing(golden, METHODS[0]), True)):
        case = next(one for one in find_cases(evaluation) if one.method == METHODS[0])
        figure = draw_bars(case)
        assert figure is not None
        plt.close(figure)
        for panel in figure.axes:
            places = [label.get_text() for label in panel.get_xticklabels()]
            looks = {
                places[round(bar.get_x() + bar.get_width() / 2)]: bool(bar.get_hatch())
                for bar in panel.patches
                if isinstance(bar, Rectangle)
            }
            assert {arm for arm, is_hatched in looks.items() if is_hatched} == (
                {"defended"} if hatched else set()
            )


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("holds", "shown to hold: over random weights the weights add +0.90 points at most, "
                  "with 100 labels per class"),
        ("does not hold", "shown not to hold: over random weights the weights add +0.30 points at "
                          "least, with 100 labels per class"),
    ],
)  # fmt: skip
def test_gate_states_the_worst_outcome(end: metrics.End, says: str) -> None:
    few = metrics.CellEnd(10, end, mean=0.2, low=-0.2, high=0.6, draws=5)
    many = metrics.CellEnd(100, end, mean=0.6, low=0.3, high=0.9, draws=5)
    decision = metrics.Decision("x", 1.0, end, (few, many))
    sentence = in_a_sentence(Judgement(decision, end, ()), Evaluation({}, (), ()))
    assert sentence.startswith(says)


def good(rows: Any, name: str) -> list[str]:
    return [cell.text for row in rows if row[0].text == name for cell in row if cell.mark == "good"]


def test_unreliable_row_is_never_green(golden: Evaluation) -> None:
    """Neither in the report nor on the leaderboard, whoever's attack got most."""
    # What looks best: nobody ever catches up with the undefended model.
    lame = replace(golden, records=tuple(
        replace(one, test=tuple(0.0 for _ in one.test), accuracy=one.accuracy and 0.2)
        if one.method == "BestResponse" else one
        for one in golden.records))  # fmt: skip
    was_green = [good(one.rows, "BestResponse") for one in summarise(lame).tables]
    assert any(was_green)
    (entry,) = (one for one in gather_entries(lame, []) if "Best" in one.standing.method)
    assert entry.status == "standard"
    broken = failing(lame, "BestResponse")
    assert not any(good(one.rows, "BestResponse") for one in summarise(broken).tables)
    for challenges in ([], [Challenge("BestResponse", 90.0, "mine", "https://x.org")]):
        shown = tabulate_entries(gather_entries(broken, challenges), "golden-1")
        assert not good(shown.rows, "BestResponse")


@pytest.mark.parametrize(
    ("limit", "change", "end"),
    [
        (99.0, lambda one: one, "holds"),
        (99.0, lambda one: failing(one, "BestResponse"), "undecided"),
        (99.0, lambda one: known(one, new_head=["BestResponse"]), "holds"),
        (99.0, lambda one: known(one, one_block={"BestResponse": 3}), "undecided"),
        (-99.0, lambda one: one, "does not hold"),
        (-99.0, lambda one: known(one, one_block={"BestResponse": 3}), "does not hold"),
        (-99.0, lambda one: failing(one, "scratch"), "undecided"),
    ],
    ids=[
        "holds",
        "unreliable",
        "a new head",
        "one block",
        "does not hold",
        "all the same",
        "scratch fails",
    ],
)
def test_unreliable_rows_decide_nothing(
    limit: float, change: Callable[[Evaluation], Evaluation], end: str, golden: Evaluation
) -> None:
    # A third seed, so that there is a spread.
    third = [replace(one, seed=2, attacker=2) for one in golden.records if one.seed == 0]
    models = [replace(one, seed=2) for one in golden.trainings if one.seed == 0]
    more = replace(
        golden, records=(*golden.records, *third), trainings=(*golden.trainings, *models)
    )
    (model,) = (
        one for one in checked(change(more), limit)["models"] if one["model"] == "BestResponse"
    )
    assert model["gate"]["end"] == end, model["gate"]
    if end == "undecided":
        assert model["gate"]["reasons"] and "the intervals alone" in model["gate"]["sentence"]


def mean_and_ends(value: dict[str, float]) -> tuple[float, ...]:
    return value["mean"], value["low"], value["high"]


BY_HAND = {
    10: {
        "advantage": (2.0, 0.3),
        "advantage_over_public": (1.0, 0.4),
        "marginal_advantage": (1.0, 0.4),
        "against_undefended": (-18.0, 0.8),
        "attacked": (62.0, 0.2),
        "scratch": (60.0, 0.5),
        "realistic_attacker": (59.0, 0.2),
        "upper_bound": (65.0, 0.2),
    },
    None: {
        "advantage": (-1.0, 0.3),
        "advantage_over_public": (-3.0, 0.4),
        "marginal_advantage": (-3.0, 0.4),
        "against_undefended": (-15.0, 0.8),
        "attacked": (75.0, 0.2),
        "scratch": (76.0, 0.5),
        "realistic_attacker": (72.0, 0.2),
        "upper_bound": (78.0, 0.2),
    },
}
"""Means of the numbers of `Good`, and their deviation over models, by labels."""


def test_every_number_is_about_the_right_arm() -> None:
    good, weak = checked(by_hand.evaluation(public=True), 3.0)["models"]
    assert (good["model"], weak["model"]) == ("Good", "Weak")
    for cell in good["cells"]:
        for name, (mean, deviation) in BY_HAND[cell["labels"]].items():
            expected = by_hand.interval(mean, deviation)
            assert mean_and_ends(cell[name]) == pytest.approx(expected, abs=1e-4), name
    assert [cell["median_family"] for cell in good["cells"]] == [50.5, 63.5]
    for model, price, deviation, change, spread in (
        (good, 0.6, 0.1, -5.0, 0.8), (weak, -1.0, 0.1, 2.0, 0.6)
    ):  # fmt: skip
        paid, (benign,) = model["desirable"]["price"], model["benign"]
        assert mean_and_ends(paid) == pytest.approx(by_hand.interval(price, deviation), abs=1e-4)
        expected = by_hand.interval(change, spread)
        assert mean_and_ends(benign["change"]) == pytest.approx(expected, abs=1e-4)
    assert mean_and_ends(good["benign"][0]["accuracy"])[0] == pytest.approx(65.0)
    # Two numbers of labels could each show that it does not hold; all of them must hold.
    for cell in good["gate"]["cells"]:
        assert (cell["low_error_rate"], cell["high_error_rate"]) == (0.0125, 0.0125)
    alone = checked(by_hand.evaluation(), 3.0)["models"][0]["gate"]["cells"]
    assert {(one["low_error_rate"], one["high_error_rate"]) for one in alone} == {(0.0125, 0.025)}


def test_price_is_the_loss_and_absent_for_a_gain() -> None:
    good, weak = checked(by_hand.evaluation())["models"]
    assert good["sentence"] == (
        "Head start of Good: small; with 10 labels per class, where an attacker gains most, it is "
        "+2.0 points over scratch (1.3 to 2.7), by fine-tuning all layers; from the undefended "
        "weights it is +20.0; the price is 0.60 points of desirable accuracy."
    )
    assert weak["sentence"].endswith(
        "; desirable accuracy is 1.00 points above that of the undefended model."
    )


def test_settings_mention_training_only_for_trained_models() -> None:
    trained = by_hand.evaluation()
    trained = replace(trained, context={**trained.context, "seconds": 7.0})
    models = tuple(replace(one, settings="as given") for one in trained.trainings)
    given = replace(trained, trainings=models, context={**trained.context, "seeds": 1})
    assert describe_settings(trained)["Time"] == "7 s for training and attacking everything"
    assert describe_settings(trained)["Seeds"].startswith(
        "3: each decides the first weights, batches, "
    )
    assert describe_settings(given)["Time"] == "7 s for attacking everything"
    assert describe_settings(given)["Seeds"].startswith("1: it decides batches, ")


def test_draws_on_a_given_model_count_one_model() -> None:
    trained = by_hand.evaluation()
    models = tuple(replace(one, settings="as given") for one in trained.trainings)
    given = replace(trained, trainings=models)
    for evaluation, count in ((trained, 3), (given, 1)):
        (cell, _) = checked(evaluation)["models"][0]["cells"]
        assert (cell["draws"], cell["models"]) == (3, count)


def test_doubts_include_why_it_is_unreliable() -> None:
    good, weak = checked(failing(by_hand.evaluation(), "Good"))["models"]
    assert not good["reliable"] and good["doubts"][0].startswith("fewer finished trials (")
    assert weak["reliable"] and not weak["doubts"]


def test_lists_flags_of_the_public_model_with_the_models() -> None:
    weak = failing(by_hand.evaluation(public=True), "public")
    for model in checked(weak)["models"]:
        assert ("failed trials", "public") in {
            (one["flag"], one["model"]) for one in model["flags"]
        }


def test_requested_limit_overrides_that_of_the_run() -> None:
    looks = [{"labels": labels, "draws": [3]} for labels in (10, None)]
    run = by_hand.evaluation(until={"limit": 3.0, "draws": 40, "looks": looks})
    for asked, limit in ((None, 3.0), (-5.0, -5.0)):
        assert checked(run, asked)["models"][0]["gate"]["limit"] == limit


@pytest.mark.parametrize("arm", ["Good", "scratch", "public"])
def test_limit_does_not_hold_for_one_block_arms(arm: str) -> None:
    for unseen, end in (({arm: 3}, "undecided"), ({"Plain": 3}, "holds")):
        run = by_hand.evaluation(public=True, one_block=unseen)
        assert judge(run, "Good", 3.0, ()).end == end


HIDES = {
    "desirable accuracy lost",
    "failed trials",
    "fewer finished trials",
    "outputs change from call to call",
    "outputs not finite",
    "outputs renamed in the head",
    "tiny gradients",
    *(flag.name for flag in BEHAVIOUR_FLAGS),
}
"""Flags with which no limit is shown to hold: it is not known what a better attack would find."""


@pytest.mark.parametrize("name", [flag.name for flag in FLAGS])
def test_limit_does_not_hold_for_flagged_arms(name: str) -> None:
    raised = [Raised(name, "Good", 0, "3 of 4")]
    about_scratch = name == "scratch has the given features"
    ends = {True: "undecided", False: "holds"}
    judged = judge(by_hand.evaluation(), "Good", 3.0, raised)
    assert judged.end == ends[name in HIDES or about_scratch]
    # What another model hides says nothing of this one.
    elsewhere = [Raised(name, "Plain", 0, "3 of 4")]
    assert judge(by_hand.evaluation(), "Good", 3.0, elsewhere).end == ends[about_scratch]


@pytest.mark.parametrize(
    ("arm", "flag", "end"),
    [
        ("public", "attacker below raw inputs", "undecided"),
        ("public", "failed trials", "undecided"),
        ("scratch", "failed trials", "undecided"),
        ("scratch", "fewer finished trials", "undecided"),
        ("Weak", "failed trials", "does not hold"),
        ("Weak", "tiny gradients", "does not hold"),
        ("Plain", "failed trials", "does not hold"),
    ],
)
def test_bad_news_waits_only_for_scratch_and_public_attacks(arm: str, flag: str, end: str) -> None:
    judged = judge(by_hand.evaluation(public=True), "Weak", 3.0, [Raised(flag, arm, 0, "some")])
    assert judged.end == end
    assert bool(judged.reasons) == (end == "undecided")


def test_counts_only_families_tried_on_the_model() -> None:
    """Twelve families met the undefended model before the time was over, and four this one."""
    run = by_hand.evaluation(time={"stopped": True})
    more = tuple(
        replace(one, family=f"family {number}")
        for one in run.records
        if one.method == "Plain"
        for number in range(12)
    )
    found = list_time_doubts(replace(run, records=run.records + more), "Good")
    assert found == ["The time was over after 4 of at least 12 families of attacks."]


def test_states_what_the_defender_shared_with_the_attacker() -> None:
    for shared, held, said in (
        (True, "90 samples, shared with the attacker's", "samples are the same."),
        (False, "90 samples, disjoint from the attacker's", "are disjoint halves of the training"),
    ):
        context = by_hand.evaluation(shared_undesirable=shared).context
        assert (
            describe_settings(by_hand.evaluation(shared_undesirable=shared))[
                "The defender's undesirable samples"
            ]
            == held
        )
        assert said in list_limits(context)[-1]
