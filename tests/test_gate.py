"""The gate: its outcomes by simulation, its interval by hand, its plan with made-up records."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.studies.looks import simulate
from rootbound.attacks import Budget, ExactLastLayer, FineTune
from rootbound.core.errors import InputError
from rootbound.evaluation.deciding_plan import DecidingPlan
from rootbound.evaluation.plan import Assignment, Subject
from rootbound.metrics import measures as metrics
from rootbound.metrics.gain import Gain, least_doubt
from rootbound.metrics.gate import RATE, CellEnd, Decision, show
from rootbound.metrics.looks import is_look, next_look, spend
from rootbound.networks import Classifier
from rootbound.records import Configuration, Evaluation, Record, Training
from rootbound.suites import Suite

SAMPLES = 5_000
Gains = Mapping[int | None, Sequence[float]]
"""What each draw of labels gives over scratch, in points, by labels."""


def record(arm: Any, labels: int | None, attacker: int, accuracy: float, seed: int = 0) -> Record:
    return Record(
        arm, arm, seed, attacker, "screen", "fine-tuning", "all layers", Configuration("A", {}),
        labels, (1,), (0.5,), (accuracy,), 0, 1.0, accuracy, 1.0, 1.0, halves=(accuracy, accuracy),
    )  # fmt: skip


def training(arm: Any) -> Training:
    return Training(arm, arm, "given", 0, None, 0.0)


def measured(
    gains: Gains, *, over_public: Gains | None = None, samples: int = SAMPLES, **context: Any
) -> Evaluation:
    """Return an evaluation of one given model whose gains are known."""
    arms = {"scratch": gains} if over_public is None else {"scratch": gains, "public": over_public}
    records = []
    for name, table in arms.items():
        for labels, values in table.items():
            records += [record(name, labels, n, 0.6 - gain / 100) for n, gain in enumerate(values)]
    for labels, values in gains.items():
        records += [record("defended", labels, n, 0.6) for n in range(len(values))]
    trainings = tuple(training(name) for name in ("defended", *arms))
    return Evaluation({"undesirable": {"test_samples": samples}, **context}, trainings,
                      tuple(records))  # fmt: skip


def decide(gains: Gains, limit: float = 1.0, **how: Any) -> metrics.Decision:
    return metrics.decide(measured(gains, **how), "defended", limit)


def normal(
    generator: np.random.Generator, mean: float, draws: int, deviation: float = 1.5
) -> list[float]:
    return list(generator.normal(mean, deviation, draws))


@pytest.mark.parametrize(
    ("gains", "end"),
    [
        ([0.1, 0.0, -0.1, 0.05, -0.05], "holds"),
        ([7.0, 6.0, 8.0, 7.5, 6.5], "does not hold"),
        ([1.5, 0.0, 3.0], "undecided"),
        ([0.0, 7.0], "undecided"),
        ([7.0], "undecided"),
    ],
)
def test_gate_has_three_outcomes(gains: list[float], end: str) -> None:
    decision = decide({10: gains})
    assert decision.end == end
    (cell,) = decision.cells
    assert cell.mean == pytest.approx(statistics.fmean(gains))
    assert cell.draws == len(gains)


def test_interval_equals_a_plain_computation() -> None:
    gains = [0.4, 1.2, -0.6, 2.0, 0.9]
    mean, error = statistics.fmean(gains), stats.sem(gains)
    hits = round(mean / 100 * SAMPLES)
    for cells in (1, 2):
        cell = decide(dict.fromkeys((10, 100)[:cells], gains)).cells[0]
        for end, rate in ((cell.low, RATE / cells), (cell.high, RATE)):
            of_draws = stats.t.interval(1 - 2 * rate, 4, mean, error)[1] - mean
            # Clopper and Pearson, where models disagree no more than they must.
            exact = stats.binomtest(hits, SAMPLES).proportion_ci(1 - 2 * rate).high
            of_samples = 100 * (exact - hits / SAMPLES)
            assert end is not None
            assert abs(end - mean) == pytest.approx(math.hypot(of_draws, of_samples), rel=1e-3)


@pytest.mark.parametrize(("samples", "end"), [(60, "undecided"), (5_000, "holds")])
def test_agreeing_draws_keep_the_doubt_of_test_samples(samples: int, end: str) -> None:
    decision = decide({10: [0.0] * 5}, samples=samples)
    assert decision.end == end
    high = decision.cells[0].high
    assert high == pytest.approx(100 * (1 - RATE ** (1 / samples)))
    if end == "undecided":
        assert decision.needed is None  # no number of draws would do
    assert decide({10: [0.0] * 2}).end == "undecided"


@given(gain=st.floats(-100, 100), samples=st.integers(1, 100_000), rate=st.floats(1e-6, 0.4))
def test_least_doubt_is_positive_and_falls_with_samples(
    gain: float, samples: int, rate: float
) -> None:
    doubt = least_doubt(gain, samples, rate)
    assert 0 < doubt <= 100
    assert least_doubt(gain, 2 * samples, rate) < doubt


@pytest.mark.parametrize("gain", [0.5, 7.0, 60.0])
def test_losses_and_gains_have_equal_doubt(gain: float) -> None:
    assert least_doubt(-gain, 400, RATE) == least_doubt(gain, 400, RATE)


def test_test_set_sets_the_least_doubt() -> None:
    """Models that disagree as little as they can, on test sets that are drawn again and again."""
    generator = np.random.default_rng(0)
    for share in (0.0, 0.005, 0.07):
        drawn = generator.binomial(400, share, 20_000) / 400
        errors = [share > one + least_doubt(100 * one, 400, RATE) / 100 for one in drawn]
        assert statistics.fmean(errors) <= RATE


@given(
    gains=st.lists(st.floats(-20, 20), min_size=3, max_size=8),
    limit=st.floats(-30, 30),
)
def test_needed_draws_are_just_enough(gains: list[float], limit: float) -> None:
    (cell,) = decide({10: gains}, limit).cells
    if cell.needed is None:
        return
    gain = Gain.of(gains)

    def shows(draws: int) -> bool:
        half = replace(gain, draws=draws).half_width(SAMPLES, RATE)
        return gain.mean - half > limit or gain.mean + half <= limit

    assert shows(cell.needed)
    assert cell.end == "undecided" and not shows(len(gains))
    assert not any(shows(draws) for draws in range(len(gains), min(cell.needed, 100)))


def test_needed_draws_cover_all_numbers_of_labels() -> None:
    noisy, above, below = [3.0, -2.0, 0.5, -1.0], [4.0, 0.0, 3.0, 1.5], [0.1, 0.0, 0.1, 0.0]
    alone = {name: decide({10: one}).needed for name, one in (("n", noisy), ("a", above))}
    assert alone["n"] is not None and alone["a"] is not None
    # All cells must hold; that the largest advantage does not hold needs one.
    assert decide({10: noisy, 100: below}).needed == decide({10: noisy, 100: noisy}).needed
    both = decide({10: noisy, 100: above})
    assert both.needed == both.cells[1].needed


@pytest.mark.parametrize(
    ("cells", "needed"),
    [
        ([(1.0, 5), (1.0, 9)], 9),  # all have to hold
        ([(1.0, 5), (1.0, None)], None),
        ([(3.0, 9), (3.0, 5), (1.0, 20)], 5),  # one above the limit is enough
        ([(3.0, None), (1.0, 5)], None),
    ],
)
def test_needed_draws_follow_from_every_cell(
    cells: list[tuple[float, int | None]], needed: int | None
) -> None:
    found = tuple(CellEnd(None, "undecided", mean, needed=draws) for mean, draws in cells)
    assert Decision("x", 2.0, "undecided", found).needed == needed


def test_limit_at_the_upper_end_holds_and_at_the_lower_end_is_undecided() -> None:
    gains = [Gain.of([1.0, 2.0, 4.0, 2.0])]
    _, low, high = show(gains, SAMPLES, 0.0, (RATE, RATE))
    ends = [show(gains, SAMPLES, limit, (RATE, RATE))[0] for limit in (low, high)]
    assert ends == ["undecided", "holds"]


def test_error_rate_is_shared_among_numbers_of_labels() -> None:
    """Every cell is at the limit: random weights must not be called worse too often."""
    generator, ends = np.random.default_rng(1), []
    rates = decide({1: [0.0, 1.0, 2.0], 10: [0.0, 1.0, 2.0], 100: [0.0, 1.0, 2.0]}).cells[0]
    for _ in range(4_000):
        cells = [Gain.of(normal(generator, 1.0, 4)) for _ in range(3)]
        shown = {show([one], SAMPLES, 1.0, (rates.low_rate, rates.high_rate))[0] for one in cells}
        ends.append("does not hold" if "does not hold" in shown else shown == {"holds"})
    # Three deviations of so many runs.
    assert ends.count("does not hold") / len(ends) <= RATE + 0.0075
    assert ends.count(True) / len(ends) <= RATE


def test_error_rate_is_shared_between_scratch_and_public() -> None:
    """Both gains are at the limit: either upper end could be below it by chance."""
    generator, gains = np.random.default_rng(4), [0.0, 1.0, 2.0]
    rates = decide({10: gains}, over_public={10: gains}).cells[0]
    ends = [
        show(
            [Gain.of(normal(generator, 1.0, 4)) for _ in range(2)],
            SAMPLES, 1.0, (rates.low_rate, rates.high_rate),
        )[0]
        for _ in range(3_000)
    ]  # fmt: skip
    assert ends.count("holds") / len(ends) <= RATE + 0.0085  # three deviations of so many runs
    assert (rates.low_rate, rates.high_rate) == (RATE, RATE / 2)


def test_public_arm_counts_where_it_is_stronger() -> None:
    high, low = [7.0, 6.0, 8.0, 7.5], [-3.0, -2.5, -3.5, -3.0]
    assert decide({10: high}).end == "does not hold"
    assert decide({10: high}, over_public={10: low}).end == "holds"
    assert decide({10: low}, over_public={10: high}).end == "holds"
    assert decide({10: high}, over_public={10: high}).end == "does not hold"
    assert decide({10: high}, over_public={10: [9.0, -9.0, 2.0, 1.0]}).end == "undecided"
    # Where no attack on the public model finished, nothing is known of it.
    assert decide({10: low}, over_public={10: []}).end == "undecided"


def test_counts_draws_that_scratch_and_public_share() -> None:
    for fewer, more in itertools.permutations(
        [{10: [0.1, 0.0]}, {10: [0.1, 0.0, -0.1, 0.05, 0.0]}]
    ):
        evaluation = measured({10: [0.0] * 5})
        others = tuple(
            record(arm, 10, n, 0.6 - gain / 100)
            for arm, table in (("scratch", fewer), ("public", more))
            for n, gain in enumerate(table[10])
        )
        kept = tuple(one for one in evaluation.records if one.arm == "defended")
        found = replace(
            evaluation,
            records=kept + others,
            trainings=tuple(map(training, ("defended", "scratch", "public"))),
        )
        (cell,) = metrics.decide(found, "defended", 1.0).cells
        assert (cell.draws, cell.end) == (2, "undecided")


def test_counts_models_if_there_are_several() -> None:
    records = [
        one
        for seed, model in enumerate((0.0, 3.0, -3.0))
        for attacker in range(20)
        for one in (record("defended", 10, 100 * seed + attacker, 0.6 + model / 100, seed),
                    record("scratch", 10, 100 * seed + attacker, 0.6, seed))
    ]  # fmt: skip
    trainings = tuple(
        Training(arm, arm, Configuration("M", {}) if arm == "defended" else "", seed, None, 0.0)
        for arm in ("defended", "scratch")
        for seed in range(3)
    )
    found = Evaluation({"undesirable": {"test_samples": SAMPLES}}, trainings, tuple(records))
    assert metrics.decide(found, "defended", 1.0).cells[0].draws == 3
    two = replace(found, records=tuple(one for one in records if one.seed < 2))
    assert metrics.decide(two, "defended", 1.0).of_models
    one_model = replace(found, trainings=tuple(replace(one, settings="") for one in trainings))
    assert metrics.decide(one_model, "defended", 1.0).cells[0].draws == 60


@pytest.mark.parametrize("most", [3, 4, 5, 6, 40])
def test_looks_start_at_five_draws_and_end_at_all(most: int) -> None:
    looks = [draws for draws in range(1, most + 1) if is_look(draws, most)]
    assert looks == list(range(min(5, most), most + 1))
    draws = 1
    while draws < most:
        assert is_look(next_look(draws, most), most)
        assert draws < next_look(draws, most) <= most
        draws = next_look(draws, most)


def test_each_look_adds_half_as_many_draws() -> None:
    looks = [1]
    while looks[-1] < 40:
        looks.append(next_look(looks[-1], 40))
    assert looks == [1, 5, 8, 12, 18, 27, 40]


@pytest.mark.parametrize("limit", [math.nan, math.inf, -math.inf])
def test_limit_must_be_a_number(limit: float) -> None:
    with pytest.raises(InputError, match="a number of points"):
        decide({10: [0.0] * 4}, limit)
    with pytest.raises(InputError):
        suite().until_decided(limit)


def test_limit_may_be_negative() -> None:
    assert decide({10: [-7.0, -6.0, -8.0]}, -2.0).end == "holds"
    assert decide({10: [0.0, 0.1, -0.1]}, -2.0).end == "does not hold"


def test_missing_measurements_are_undecided() -> None:
    whole = measured({10: [0.0, 0.1, 0.0], 100: [0.0, 0.1, 0.0]})
    failed = replace(whole, records=tuple(
        replace(one, accuracy=None, halves=(), error="failed") if one.labels == 10 else one
        for one in whole.records))  # fmt: skip
    decision = metrics.decide(failed, "defended", 1.0)
    assert [cell.end for cell in decision.cells] == ["undecided", "holds"]
    assert decision.end == "undecided" and decision.needed is None
    no_scratch = replace(whole, records=whole.records[6:])
    assert metrics.decide(no_scratch, "defended", 1.0).end == "undecided"


@given(first=st.integers(1, 30), most=st.integers(3, 200))
def test_looks_spend_exactly_the_error_rate(first: int, most: int) -> None:
    looks, draws = [], first
    while draws < most:
        looks += [draws] if is_look(draws, most) else []
        draws = next_look(draws, most)
    looks.append(draws)
    assert looks == sorted(set(looks))
    rates = spend(looks, most, RATE)
    assert sum(rates) == pytest.approx(RATE) and min(rates) > 0


def test_repeated_looks_keep_the_error_rates() -> None:
    null, undefended, worst = (simulate(mean, runs=2_000).shares for mean in (0.0, 7.0, 1.0))
    assert null["does not hold"] <= RATE and undefended["holds"] <= RATE
    assert null["holds"] >= 0.9, null
    assert undefended["does not hold"] == 1.0
    # At the limit itself errors are as frequent as they may be.
    assert max(worst["holds"], worst["does not hold"]) <= RATE, worst


def test_each_look_has_its_share_of_the_error_rate() -> None:
    """A run's looks are gone through in order; the first that shows something counts."""
    drawn = [4.0, -2.0, 3.0, 7.0, 7.0, 7.0, 7.0, 7.0, -9.0, -9.0]
    until = {"draws": 10, "looks": [{"labels": 10, "draws": [3, 5, 8, 10]}]}
    rates = spend([3, 5, 8, 10], 10, RATE)
    ends = [
        show([Gain.of(drawn[:draws])], SAMPLES, 1.0, (rate, rate))[0]
        for draws, rate in zip([3, 5, 8, 10], rates, strict=True)
    ]
    assert ends == ["undecided", "undecided", "does not hold", "undecided"]
    decision = decide({10: drawn}, until=until)
    (cell,) = decision.cells
    assert (decision.end, cell.draws) == ("does not hold", 8)
    assert cell.low_rate == cell.high_rate == pytest.approx(rates[2])
    assert decide({10: drawn}).end == "undecided"


# The plan, with records that are made up.


def suite(draws: tuple[int, ...] = (2, 1), **more: Any) -> Suite:
    attacks = (ExactLastLayer(1e-3), FineTune(None, "kept", "adam", 1e-2))
    return Suite("two-1", attacks, (Budget(10, 3), Budget(100, 3)), draws=draws, **more)


def made_up(done: Assignment, gain: Callable[[int | None, int], float]) -> list[Record]:
    """Return records of an assignment in which a defended model gains so much over scratch."""
    return [
        Record(
            done.subject.arm, done.subject.method, done.subject.seed, done.attacker, done.stage,
            trial.tier, trial.family, Configuration.of(trial), budget.labels, (1,), (0.5,), (0.5,),
            0, 1.0, accuracy, 1.0, 1.0, halves=(accuracy, accuracy),
        )
        for budget in done.budgets
        for trial in done.trials
        for worth in [gain(budget.labels, done.attacker) if done.subject.arm == "defended" else 0.0]
        for accuracy in [0.5 + worth / 100]
    ]  # fmt: skip


def carry_out(
    given: Suite,
    model: Classifier,
    gain: Callable[[int | None, int], float],
    order: Callable[[list[Assignment]], Assignment] = lambda queue: queue.pop(0),
) -> tuple[Evaluation, list[Assignment]]:
    """Do everything that a plan asks for; return what was found, and what was done."""
    plan = DecidingPlan(given, 3, set(), SAMPLES)
    subjects = [Subject(arm, arm, 0, model) for arm in ("defended", "undefended", "scratch")]
    queue = [one for subject in subjects for one in plan.begin(subject)]
    done: list[Assignment] = []
    records: list[Record] = []
    while queue:
        one = order(queue)
        done.append(one)
        records += (found := made_up(one, gain))
        queue += plan.advance(one, found)
    context = {"undesirable": {"test_samples": SAMPLES}, **plan.summary()}
    trainings = tuple(Training(one.arm, one.method, "", 0, None, 0.0) for one in subjects)
    return Evaluation(context, trainings, tuple(records)), done


def noisy(mean: float, deviation: float = 1.5) -> Callable[[int | None, int], float]:
    """Return gains that depend on labels and attacker alone."""

    def gain(labels: int | None, attacker: int) -> float:
        return float(np.random.default_rng([labels or 0, attacker]).normal(mean, deviation))

    return gain


@pytest.mark.parametrize(
    ("mean", "most", "end"),
    [(0.0, 40, "holds"), (7.0, 40, "does not hold"), (1.0, 6, "undecided")],
)
def test_adds_draws_until_decided(mean: float, most: int, end: str, toy_model: Classifier) -> None:
    given = suite().until_decided(1.0, most)
    assert given.name == f"two-1 until decided in {most} draws"
    found, done = carry_out(given, toy_model, noisy(mean))
    decision = metrics.decide(found, "defended", 1.0)
    assert decision.end == end and decision.looks
    looks = {one["labels"]: one["draws"] for one in found.context["until"]["looks"]}
    for cell in decision.cells:
        own = metrics.trials(found, "defended", cell.labels)
        assert len(own) == looks[cell.labels][-1] <= most
        if end == "undecided":
            assert len(own) == most
        # All arms alike, and scratch drawn anew with each draw.
        for arm in ("undefended", "scratch"):
            assert set(metrics.trials(found, arm, cell.labels)) == set(own)
    scratch = {one.weights for one in done if one.subject.arm == "scratch"}
    assert len(scratch) >= max(looks[10][-1], looks[100][-1])


def test_redraws_only_undecided_cells(toy_model: Classifier) -> None:
    quiet, loud = noisy(0.0, 0.05), noisy(0.0, 1.5)
    found, _ = carry_out(
        suite((5, 5)).until_decided(1.0),
        toy_model,
        lambda labels, attacker: (quiet if labels == 100 else loud)(labels, attacker),
    )
    draws = {one["labels"]: one["draws"] for one in found.context["until"]["looks"]}
    assert draws[100] == [5] and len(draws[10]) > 1


def test_order_of_work_does_not_matter(toy_model: Classifier) -> None:
    generator = np.random.default_rng(3)
    orders: list[Callable[[list[Assignment]], Assignment]] = [
        lambda queue: queue.pop(0),
        lambda queue: queue.pop(),
        lambda queue: queue.pop(int(generator.integers(len(queue)))),
    ]
    found = [carry_out(suite().until_decided(1.0), toy_model, noisy(0.3), one) for one in orders]
    for one, other in itertools.pairwise(found):
        assert one[0].context == other[0].context
        keys = [{str(record.key) for record in each[0].records} for each in (one, other)]
        assert keys[0] == keys[1]


def test_adds_attackers_to_confirmed_settings(toy_model: Classifier) -> None:
    given = suite((), confirmed=1, attackers=2).until_decided(1.0, 9)
    found, _ = carry_out(given, toy_model, noisy(1.0))
    for labels in (10, 100):
        confirmed = [one for one in found.records if (one.stage, one.labels) == ("confirm", labels)]
        assert {one.attacker for one in confirmed} == set(range(1, 10))
    assert metrics.decide(found, "defended", 1.0).cells[0].draws == 9


def test_suite_keeps_its_digest_and_states_its_limit() -> None:
    plain, deciding = suite(), suite().until_decided(1.0)
    assert replace(deciding, until=None, name=plain.name).digest == plain.digest
    assert len({plain.digest, deciding.digest, suite().until_decided(2.0).digest}) == 3
    with pytest.raises(InputError, match="at least 3 draws"):
        plain.until_decided(1.0, 2)
    for both in (lambda: deciding.within(3), lambda: plain.within(3).until_decided(1.0)):
        with pytest.raises(InputError, match="either a limit of time"):
            both()
