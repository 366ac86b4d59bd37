"""The well-tuned attacker: by a plain computation, under the null, among broken attacks."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rootbound.metrics import measures as metrics
from rootbound.metrics.attackers import FAMILIES_PER_STRONGEST, STRONGEST, finalists
from rootbound.records import EXACT, Configuration, Evaluation, Record, Training

Halves = tuple[float, float]


def record(method: str, attacker: int, family: str, halves: Halves, validation: float) -> Record:
    return Record(
        "scratch" if method == "scratch" else "defended", method, 0, attacker, "screen",
        "fine-tuning", family, Configuration(family, {"validation": validation}), 10, (1,),
        (validation,), (0.5,), 0, 1.0, statistics.fmean(halves), 1.0, 1.0, halves=halves,
    )  # fmt: skip


def evaluation(tables: Mapping[str, Sequence[Sequence[Halves]]]) -> Evaluation:
    """Return one whose accuracies on halves are given by method, draw and family."""
    records = [
        record(method, attacker, f"family {number}", halves, 0.5)
        for method, table in tables.items()
        for attacker, row in enumerate(table)
        for number, halves in enumerate(row)
    ]
    trainings = [
        Training("scratch" if name == "scratch" else "defended", name, "", 0, None, 1.0)
        for name in tables
    ]
    return Evaluation({}, tuple(trainings), tuple(records))


def trained(*seeds: int) -> tuple[Training, ...]:
    """Return the training of a method's model for each seed."""
    settings = Configuration("Plain", {})
    return tuple(Training("defended", "x", settings, seed, None, 1.0) for seed in seeds)


def compute_plainly(table: Sequence[Sequence[Halves]]) -> list[float]:
    """Return the accuracy of each draw: chosen on a half by hand, scored on the other."""
    families = range(len(table[0]))
    count = max(1, min(STRONGEST, len(families) // FAMILIES_PER_STRONGEST))
    values = []
    for row in table:
        parts = []
        for chooses, judges in ((0, 1), (1, 0)):
            means = {
                family: statistics.fmean(other[family][chooses] for other in table)
                for family in families
            }
            best = sorted(families, key=lambda family: -means[family])[:count]
            parts.append(statistics.fmean(row[family][judges] for family in best))
        values.append(statistics.fmean(parts))
    return values


def drawn(
    generator: np.random.Generator,
    means: Sequence[float],
    draws: int,
    label_noise: float = 0.02,
    test_noise: float = 0.01,
) -> list[list[Halves]]:
    """Return accuracies of families around their means, with two kinds of noise."""
    labels = generator.normal(0, label_noise, (draws, len(means)))
    tests = generator.normal(0, test_noise, (len(means), 2))
    return [
        [(mean + labels[d, f] + tests[f, 0], mean + labels[d, f] + tests[f, 1])
         for f, mean in enumerate(means)]
        for d in range(draws)
    ]  # fmt: skip


@pytest.mark.parametrize(("families", "draws"), [(1, 1), (3, 4), (8, 1), (8, 5), (12, 3), (20, 5)])
def test_well_tuned_attacker_equals_a_plain_computation(families: int, draws: int) -> None:
    table = drawn(np.random.default_rng(families), [0.5] * families, draws, 0.1, 0.1)
    found = metrics.well_tuned(evaluation({"x": table}), "x", 10)
    assert list(found) == [(0, attacker) for attacker in range(draws)]
    assert list(found.values()) == pytest.approx(compute_plainly(table))


def test_no_test_sample_both_chooses_and_judges() -> None:
    # A family that is right on one half alone is chosen there, and judged on the other.
    table = [[(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.4, 0.4)]]
    assert metrics.well_tuned(evaluation({"x": table}), "x", 10) == {(0, 0): 0.0}
    flattered = max(statistics.fmean(halves) for halves in table[0])
    assert flattered == 0.5


def test_equal_arms_do_not_differ_on_average() -> None:
    generator, gains = np.random.default_rng(0), []
    for _ in range(300):
        arms = {name: drawn(generator, [0.6] * 10 + [0.5] * 10, 5) for name in ("x", "scratch")}
        gain = metrics.advantage(evaluation(arms), "x", 10)
        assert gain is not None
        gains.append(gain.mean)
    error = statistics.stdev(gains) / len(gains) ** 0.5
    assert abs(statistics.fmean(gains)) < 4 * error
    # Chosen on other test samples, the best of equal families is not better than they are.
    table = drawn(generator, [0.6] * 20, 200, 0.0, 0.05)
    reached = metrics.well_tuned(evaluation({"x": table}), "x", 10)
    assert statistics.fmean(reached.values()) == pytest.approx(0.6, abs=0.05)


def test_breaking_most_attacks_changes_nothing() -> None:
    means = [0.9, 0.88, 0.86, *([0.7] * 17)]
    whole = drawn(np.random.default_rng(1), means, 5)
    broken = [[halves if f < 3 else (0.1, 0.1) for f, halves in enumerate(row)] for row in whole]
    arms = evaluation({"x": broken, "scratch": whole})
    gain = metrics.advantage(arms, "x", 10)
    assert gain is not None and gain.mean == pytest.approx(0.0)
    assert metrics.strongest_families(arms, "x", 10) == ["family 0", "family 1", "family 2"]


@pytest.mark.parametrize(
    "change", [{"tier": "control"}, {"task": "benign"}, {"labels": 20}, {"method": "y"}], ids=str
)
def test_only_competing_families_count(change: dict[str, Any]) -> None:
    whole = evaluation({"x": drawn(np.random.default_rng(5), [0.1 * f for f in range(8)], 3)})
    others = [replace(one, family=f"other {one.family}", **change) for one in whole.records]
    more = replace(whole, records=(*whole.records, *others))
    assert metrics.well_tuned(more, "x", 10) == metrics.well_tuned(whole, "x", 10)


@pytest.mark.parametrize("order", list(itertools.permutations(range(8)))[::9999])
def test_order_of_families_does_not_matter(order: Sequence[int]) -> None:
    table = drawn(np.random.default_rng(2), [0.1 * f for f in range(8)], 3)
    shuffled = [[row[place] for place in order] for row in table]
    same = (metrics.well_tuned(evaluation({"x": part}), "x", 10) for part in (table, shuffled))
    first, second = same
    assert first == pytest.approx(second)


def test_attacker_chooses_within_a_family() -> None:
    by_validation = [
        record("x", 0, "a", (0.2, 0.2), validation=0.9),
        record("x", 0, "a", (0.8, 0.8), validation=0.1),
    ]
    found = Evaluation({}, (Training("defended", "x", "", 0, None, 1.0),), tuple(by_validation))
    assert metrics.well_tuned(found, "x", 10) == {(0, 0): 0.2}


def test_family_that_seldom_finishes_does_not_count() -> None:
    table = drawn(np.random.default_rng(3), [0.9, 0.5, 0.4, 0.3], 4, 0.0, 0.0)
    whole = evaluation({"x": table})
    for finished in (1, 2):  # of four draws
        kept = [one for one in whole.records if one.family != "family 0" or one.attacker < finished]
        found = Evaluation({}, whole.trainings, tuple(kept))
        assert set(metrics.well_tuned(found, "x", 10).values()) == {0.5}
    # Where it finished more often than not, it counts where it did.
    kept = [one for one in whole.records if one.family != "family 0" or one.attacker < 3]
    found = Evaluation({}, whole.trainings, tuple(kept))
    assert metrics.well_tuned(found, "x", 10) == {(0, d): 0.9 for d in range(3)}


def test_finalists_are_unique_and_exclude_controls() -> None:
    accuracies = {"strong": 0.9, EXACT: 0.8, "weak": 0.7}
    best = [
        replace(record("x", 0, family, (0.5, 0.5), 0.5), test=(accuracy,))
        for family, accuracy in accuracies.items()
    ]
    tied = replace(best[0], attack=Configuration("z", {}))
    control = replace(best[0], family="control", tier="control", test=(1.0,))
    for count, families in ((1, 2), (2, 2), (3, 3)):
        found = finalists([tied, *best, control], count)
        assert found == [one.attack for one in best[:families]]


def test_models_are_judged_together_if_all_attacks_met_every_draw() -> None:
    # Family 0 is best on both models together, though another is better on each.
    models = ([(0.8, 0.8), (0.9, 0.9), (0.1, 0.1)], [(0.8, 0.8), (0.1, 0.1), (0.9, 0.9)])
    records = [
        replace(one, seed=seed)
        for seed, row in enumerate(models)
        for one in evaluation({"x": [row, row]}).records
    ]
    found = Evaluation({}, trained(0, 1), tuple(records))
    draws = {(seed, draw) for seed in (0, 1) for draw in (0, 1)}
    assert metrics.well_tuned(found, "x", 10) == dict.fromkeys(draws, 0.8)
    assert metrics.strongest_families(found, "x", 10) == ["family 0"]


def test_names_families_that_most_models_share() -> None:
    # Attacks were chosen for each model: one has its own strongest family, two share theirs.
    strongest = {0: "own", 1: "shared", 2: "shared"}
    records = [
        replace(record("x", 0, family, (accuracy, accuracy), 0.5), seed=seed, stage="confirm")
        for seed, best in strongest.items()
        for family, accuracy in ((best, 0.9), ("weak", 0.1), ("weaker", 0.0))
    ]
    found = Evaluation({}, trained(*strongest), tuple(records))
    assert metrics.strongest_families(found, "x", 10) == ["shared"]


def test_balanced_accuracy_uses_the_same_families() -> None:
    whole = evaluation({"x": [[(0.1 * f, 0.1 * f) for f in range(8)]] * 2})
    records = [replace(one, balanced=one.accuracy or 0.0) for one in whole.records]
    found = replace(whole, records=tuple(records))
    assert metrics.balanced(found, "x", 10) == pytest.approx(metrics.well_tuned(found, "x", 10))


def test_marginal_advantage_is_over_the_stronger_alternative() -> None:
    def reached(*accuracies: float) -> list[list[Halves]]:
        return [[(one, one)] * 2 for one in accuracies]

    # The public arm varies, so that the lower end of its interval is below that of scratch's.
    for public, expected in ((0.3, 0.2), (0.45, 0.2), (0.6, 0.1)):
        arms = {"x": reached(0.7, 0.7), "scratch": reached(0.5, 0.5)}
        plain = evaluation(arms | {"net": reached(public - 0.1, public + 0.1)})
        found = replace(
            plain,
            trainings=tuple(
                replace(one, arm="public") if one.method == "net" else one
                for one in plain.trainings
            ),
            records=tuple(
                replace(one, arm="public") if one.method == "net" else one for one in plain.records
            ),
        )
        gain = metrics.marginal_advantage(found, "x", 10)
        assert gain is not None and gain.mean == pytest.approx(100 * expected)


@pytest.mark.parametrize("settings", ["as given", Configuration("Plain", {})], ids=str)
def test_given_model_pools_draws_but_trained_models_do_not(settings: str | Configuration) -> None:
    accuracies = {(0, 0): 0.5, (0, 9): 0.6, (1, 1): 0.8, (1, 10): 0.9}
    records = [
        replace(record("x", attacker, "a", (value, value), 0.5), seed=seed)
        for (seed, attacker), value in accuracies.items()
    ]
    trainings = [Training("defended", "x", settings, seed, None, 1.0) for seed in (0, 1)]
    found = metrics.points(
        metrics.attacked(Evaluation({}, tuple(trainings), tuple(records)), "x", 10)
    )
    percent = {draw: 100 * value for draw, value in accuracies.items()}
    several = isinstance(settings, Configuration)
    expected = metrics.over_draws(percent) if several else metrics.estimate([*percent.values()])
    assert found == expected


def test_older_records_report_the_realistic_attacker() -> None:
    table = drawn(np.random.default_rng(4), [0.5] * 8, 2)
    new = evaluation({"x": table})
    assert metrics.is_well_tuned(new)
    assert metrics.attacked(new, "x", 10) == metrics.well_tuned(new, "x", 10)
    old = Evaluation(
        {},
        new.trainings,
        tuple(one.__class__(**(vars(one) | {"halves": ()})) for one in new.records),
    )
    assert not metrics.is_well_tuned(old)
    # One older record among new ones is enough: arms would be judged in different ways.
    mixed = replace(new, records=(*new.records[1:], old.records[0]))
    assert not metrics.is_well_tuned(mixed)
    assert metrics.attacked(old, "x", 10) == metrics.realistic(old, "x", 10)
    assert metrics.strongest_families(old, "x", 10)
