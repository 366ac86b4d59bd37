"""Scores and costs against hand computations."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

import by_hand
from rootbound.metrics import measures as metrics
from rootbound.metrics.measures import estimate, kaplan_meier_median, over_draws
from rootbound.records import Arm, Configuration, Evaluation, Record, Stage, Tier, Training
from rootbound.report import scores, tables
from rootbound.report.cells import Cell, Table

ARMS: dict[str, Arm] = {"Plain": "undefended", "scratch": "scratch", "raw inputs": "control"}


def record(
    method: str,
    accuracy: float | None,
    *,
    seed: int = 0,
    attacker: int = 0,
    stage: Stage = "screen",
    tier: Tier = "fine-tuning",
    family: str = "all layers",
    labels: int | None = 10,
    validation: float = 0.5,
    test: tuple[float, ...] = (0.2, 0.4, 0.8),
    flops: float = 1e6,
    attack: str = "a",
) -> Record:
    return Record(
        arm=ARMS.get(method, "defended"), method=method, seed=seed, attacker=attacker,
        stage=stage, tier=tier, family=family, attack=Configuration(attack, {}), labels=labels,
        steps=(1, 10, 100),
        validation=(0.0, 0.0, validation), test=test, selected=2, validation_loss=1.0,
        accuracy=accuracy, seconds=1.0, flops=flops,
    )  # fmt: skip


def evaluation(*records: Record) -> Evaluation:
    names = dict.fromkeys(one.method for one in records)
    trainings = tuple(Training(ARMS.get(one, "defended"), one, "", 0, 0.9, 1.0) for one in names)
    return Evaluation({}, trainings, records)


def test_one_level_gives_students_interval() -> None:
    values = [0.1, 0.5, 0.3]
    by_seed = over_draws({(seed, seed): value for seed, value in enumerate(values)})
    by_attacker = over_draws({(0, attacker): value for attacker, value in enumerate(values)})
    assert by_seed == by_attacker == estimate(values)


def test_attackers_of_one_model_are_not_independent() -> None:
    # Models differ, attackers of a model do not: the interval must be that of three models.
    draws = {(seed, attacker): float(seed) for seed in range(3) for attacker in range(20)}
    assert over_draws(draws) == replace(estimate([0.0, 1.0, 2.0]), seeds=60)


@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0])
def test_intervals_over_three_models_hold_the_truth_as_often_as_they_say(spread: float) -> None:
    """Whatever part of the noise is the models' and whatever part the draws'."""
    generator, hits, rounds = random.Random(1), 0, 2000
    for _ in range(rounds):
        draws: dict[tuple[int, int], float] = {}
        for seed in range(3):
            shift = generator.gauss(0, spread)
            draws |= {(seed, attacker): shift + generator.gauss(0, 1) for attacker in range(5)}
        found = over_draws(draws)
        hits += found.low <= 0 <= found.high
    assert 0.935 <= hits / rounds <= 0.965


@pytest.mark.parametrize(
    ("times", "median"),
    [
        ([(1.0, True), (2.0, True), (3.0, True)], 2.0),
        ([(1.0, True), (2.0, False), (3.0, False)], None),
        ([(2.0, False), (3.0, True), (4.0, True)], 3.0),
        ([(5.0, False)], None),
        ([], None),
        # 1 - 1/4 = .75 at 1; the censored leave at 2; then 0 at 3.
        ([(1.0, True), (2.0, False), (2.0, False), (3.0, True)], 3.0),
        # 1 - 1/3 at 1, for the censored one was still at risk; then 0 at 2.
        ([(1.0, False), (1.0, True), (2.0, True)], 2.0),
    ],
)
def test_median_equals_kaplan_meier(times: list[tuple[float, bool]], median: float | None) -> None:
    assert kaplan_meier_median(times) == median


def test_resistance_is_undefined_without_an_effect() -> None:
    found = evaluation(record("Plain", 0.9), record("x", 0.8), record("scratch", 0.7))
    score = metrics.resistance(found, "x", 10)
    assert score is not None
    assert score.mean == pytest.approx(0.5)
    assert metrics.mean_resistance(found, "x") == pytest.approx(0.5)
    useless = evaluation(record("Plain", 0.9), record("x", 0.8), record("scratch", 0.895))
    assert metrics.resistance(useless, "x", 10) is None
    assert metrics.mean_resistance(useless, "x") is None
    assert metrics.resistance(evaluation(record("x", 0.8)), "x", 10) is None


def test_resistance_uses_draws_that_all_arms_share() -> None:
    found = evaluation(
        *(record(name, value) for name, value in (("Plain", 0.9), ("x", 0.8), ("scratch", 0.7))),
        record("Plain", 0.1, attacker=1), record("x", 0.1, attacker=1),
        record("scratch", 0.1, attacker=2),
    )  # fmt: skip
    score = metrics.resistance(found, "x", 10)
    assert score is not None
    assert score.mean == pytest.approx(0.5) and score.seeds == 1


def test_resistance_is_a_ratio_of_mean_accuracies() -> None:
    """Not a mean of ratios: a draw would count most where undefended weights help least."""
    reached = {"Plain": (0.9, 0.8), "x": (0.8, 0.8), "scratch": (0.7, 0.4)}
    found = evaluation(
        *(record(name, values[draw], attacker=draw) for draw in (0, 1)
          for name, values in reached.items())
    )  # fmt: skip
    score = metrics.resistance(found, "x", 10)
    assert score is not None and score.mean == pytest.approx(0.1 / 0.6)


def test_costs_are_multiples_of_scratch() -> None:
    slow = (0.1, 0.3, 0.79)
    found = evaluation(
        record("scratch", 0.8, test=(0.1, 0.78, 0.8)),
        record("x", 0.8, test=slow, flops=4e6),
        record("y", 0.3, test=(0.1, 0.2, 0.3)),
    )
    assert metrics.multiples(found, "x", 10, "steps") == [(10.0, True)]
    ((multiple, reached),) = metrics.multiples(found, "x", 10, "flops")
    assert (round(multiple, 6), reached) == (40.0, True)
    assert metrics.multiples(found, "y", 10, "steps") == [(10.0, False)]
    assert metrics.multiples(found, "scratch", 10, "steps") == [(1.0, True)]


def test_cheapest_successful_trial_counts_else_the_dearest() -> None:
    late, early, never = (0.1, 0.3, 0.8), (0.8, 0.8, 0.8), (0.1, 0.2, 0.3)
    found = evaluation(
        *(record("scratch", 0.8, test=late, attacker=draw) for draw in (0, 1)),
        record("x", 0.8, test=early, flops=5e7), record("x", 0.8, test=late, flops=2e7, attack="b"),
        record("x", 0.3, test=never, flops=3e6, attacker=1),
        record("x", 0.3, test=never, flops=7e6, attacker=1, attack="b"),
    )  # fmt: skip
    assert metrics.multiples(found, "x", 10, "steps") == [(0.01, True), (1.0, False)]
    multiples, reached = zip(*metrics.multiples(found, "x", 10, "flops"), strict=True)
    assert multiples == pytest.approx((0.5, 7.0)) and reached == (True, False)


def test_counts_steps_to_a_share_of_the_undefended_accuracy() -> None:
    found = evaluation(
        *(record("Plain", 0.8, attacker=draw) for draw in (0, 1)),
        record("x", 0.9, test=(0.1, 0.73, 0.9)), record("x", 0.9, test=(0.1, 0.2, 0.9), attack="b"),
        record("x", 0.3, test=(0.1, 0.2, 0.3), attacker=1),
    )  # fmt: skip
    reached = metrics.steps_to_reach(found, "x", 10, "all layers", 0.9)
    assert reached == [10, None]
    assert metrics.median_steps(reached) is None
    assert metrics.median_steps([10, None, 3]) == 10.0


def test_draw_without_success_has_no_cost() -> None:
    failed = replace(
        record("x", None, attacker=1), steps=(), validation=(), test=(), selected=0, error="broken"
    )
    found = evaluation(
        *(record("scratch", 0.8, attacker=draw) for draw in (0, 1)),
        record("x", 0.8), failed,
    )  # fmt: skip
    assert metrics.multiples(found, "x", 10, "steps") == [(1.0, True)]
    (row,) = metrics.standings(found)
    assert row.steps == ((1.0, True),)


def test_label_costs_are_multiples() -> None:
    found = evaluation(
        *(record("scratch", value, labels=n) for n, value in ((1, 0.4), (10, 0.78), (100, 0.8))),
        *(record("x", value, labels=n) for n, value in ((1, 0.2), (10, 0.5), (100, 0.79))),
        *(record("y", value, labels=n) for n, value in ((1, 0.2), (10, 0.5), (100, 0.6))),
    )
    assert metrics.labels_multiples(found, "x") == [(10.0, True)]
    assert metrics.labels_multiples(found, "y") == [(10.0, False)]


def test_draw_without_few_label_attacks_is_ignored() -> None:
    """Where a gate is decided, numbers of labels get draws of their own."""
    found = evaluation(
        *(record("scratch", value, labels=n) for n, value in ((10, 0.78), (100, 0.8))),
        *(record("x", value, labels=n) for n, value in ((10, 0.5), (100, 0.79))),
        *(record(name, 0.8, labels=100, attacker=1) for name in ("scratch", "x")),
    )
    assert metrics.labels_multiples(found, "x") == [(10.0, True)]


def test_confirmed_settings_replace_the_screening() -> None:
    found = evaluation(
        record("x", 0.99, validation=0.9),
        record("x", 0.7, stage="confirm", attacker=1),
        record("x", 0.8, stage="confirm", attacker=2),
        record("x", 0.95, stage="longer", attacker=1),
    )
    assert metrics.attacked(found, "x", 10) == {(0, 1): 0.7, (0, 2): 0.8}
    assert metrics.longer_run(found, "x", 10) == pytest.approx(95.0)


def test_controls_and_the_benign_task_do_not_compete() -> None:
    benign = Record(**{**record("x", 0.6).__dict__, "task": "benign"})
    found = evaluation(record("x", 0.5), record("x", 0.9, tier="control", family="sibling"), benign)
    assert metrics.attacked(found, "x", 10) == {(0, 0): 0.5}
    assert metrics.families(found) == ["all layers"]
    assert metrics.benign(found, "x", 10) == {(0, 0): 0.6}


def test_largest_benign_loss_counts() -> None:
    reached = {"Plain": {10: 0.9, 100: 0.9}, "x": {10: 0.6, 100: 0.85}}
    found = evaluation(
        *(replace(record(name, value, labels=labels), task="benign")
          for name, values in reached.items() for labels, value in values.items())
    )  # fmt: skip
    losses = {row.method: row.benign for row in metrics.standings(found)}
    assert losses["x"] is not None and losses["x"].mean == pytest.approx(-30.0)


def test_computes_median_attack_and_upper_bound() -> None:
    found = evaluation(
        record("x", 0.5, family="one"),
        record("x", 0.7, family="two", test=(0.2, 0.85, 0.6)),
        record("x", 0.9, family="three", validation=0.1),
    )
    assert metrics.median_attack(found, "x", 10) == pytest.approx(70.0)
    upper = metrics.upper_bound(found, "x", 10)
    assert upper is not None
    assert upper.mean == pytest.approx(90.0)
    assert list(metrics.by_family(found, "x", 10)) == ["three", "two", "one"]


def test_best_so_far_follows_validation() -> None:
    found = evaluation(
        record("x", None, validation=0.5, test=(0, 0, 0.3), attack="a"),
        record("x", None, validation=0.4, test=(0, 0, 0.9), attack="b"),
        record("x", None, validation=0.6, test=(0, 0, 0.6), attack="c"),
        # Finalists meet other draws, where nothing is chosen any more.
        *(record("x", 0.9, attacker=1, stage="confirm", attack=one) for one in "abc"),
    )
    assert metrics.best_so_far(found, "x", 10) == pytest.approx([0.3, 0.3, 0.6])


def test_many_families_are_shown_by_tier() -> None:
    several = [record("x", 0.5, family=f"family {i}", tier="repair") for i in range(9)]
    found = evaluation(record("x", 0.5, tier="probe", family="last layer, exact"), *several)
    assert metrics.columns(found) == ["last layer, exact", "probe", "repair"]
    assert metrics.attacked(found, "x", 10, "repair") == {(0, 0): 0.5}
    assert math.isclose(sum(metrics.attacked(found, "x", 10, "probe").values()), 0.5)


def cells_of(table: Table | None, method: str, labels: str = "") -> dict[str, Cell]:
    """Return the cells of a method's row, by their columns."""
    assert table is not None
    return next(
        dict(zip(table.columns, row, strict=True))
        for row in table.rows
        if row[0].text == method and (not labels or row[1].text == labels)
    )


def test_tables_reverse_colours_for_kept_accuracies() -> None:
    run = by_hand.evaluation()
    for table in (tables.tabulate_methods(run), scores.tabulate_benign(run)):
        marks = [cells_of(table, method)["change"].mark for method in ("Good", "Weak")]
        assert marks == ["bad", "good"]
    assert cells_of(tables.tabulate_advantages(run), "Weak")["strongest attack"].mark == "bad"


def test_every_score_is_in_its_column() -> None:
    row = cells_of(scores.tabulate_resistance(by_hand.evaluation()), "Good", "10 labels per class")
    texts = {name: cell.text for name, cell in row.items()}
    assert texts == {
        "method": "Good", "labels": "10 labels per class", "strongest attack": "62.0 %",
        "realistic attacker": "59.0 %", "median attack": "50.5 %", "upper bound": "65.0 %",
        "longer run": "68.0 %", "resistance": "0.90", "steps": "1 x", "operations": "1 x",
    }  # fmt: skip


def test_counts_unreached_goals() -> None:
    run = by_hand.evaluation()
    # Of 78.3 % on the second seed `Good` reaches 78.0 %, and on the third of 79.2 % 78.2 %.
    row = cells_of(tables.tabulate_steps(run), "Good")
    assert row["fine-tuning the last 2 layers: 90\N{NO-BREAK SPACE}%"] == Cell(
        "not reached", "2 of 3 draws not reached", "good"
    )
    low = tuple(
        replace(one, test=(0.1,) * 3) if (one.method, one.seed) == ("Good", 2) else one
        for one in run.records
    )
    row = cells_of(
        scores.tabulate_resistance(replace(run, records=low)), "Good", "10 labels per class"
    )
    assert row["steps"] == Cell("1 x", "1 of 3 not reached")
