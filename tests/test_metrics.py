"""Metrics against hand computations."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from rootbound.core.errors import InputError
from rootbound.flags import Case
from rootbound.metrics import measures as metrics
from rootbound.records import Arm, Configuration, Evaluation, Record, Training


def record(
    method: str,
    seed: int,
    accuracy: float | None,
    *,
    family: str = "all layers",
    attack: str = "a",
    validation: float = 0.5,
    loss: float | None = 1.0,
    test: tuple[float, ...] = (0.1, 0.5, 0.9),
    labels: int | None = None,
) -> Record:
    arm: Arm = "scratch" if method == "scratch" else "defended"
    return Record(
        arm, method, seed, seed, "screen", "fine-tuning", family, Configuration(attack, {}), labels,
        (1, 10, 100), (0.0, 0.0, validation), test, 2, loss, accuracy, 1.0, 1e6,
    )  # fmt: skip


def evaluation(*records: Record) -> Evaluation:
    names = dict.fromkeys(one.method for one in records)
    arms: dict[str, Arm] = {"Plain": "undefended", "scratch": "scratch"}
    trainings = tuple(
        Training(
            arms.get(name, "defended"), name, Configuration(name, {}), seed, 0.9 + 0.01 * seed, 1.0
        )
        for name in names
        for seed in (0, 1, 2)
    )
    return Evaluation({}, trainings, records)


def test_estimate_is_students_interval() -> None:
    found = metrics.estimate([1.0, 2.0, 3.0])
    # t(0.975, 2) = 4.302653, standard error 1 / sqrt(3).
    assert found.mean == 2.0
    assert found.high - found.mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert found.p_value == pytest.approx(0.0741799, rel=1e-4)
    assert not found.significant


def test_one_seed_has_no_interval() -> None:
    found = metrics.estimate([1.0])
    assert (found.low, found.high, found.p_value) == (-math.inf, math.inf, None)
    assert not found.significant


def test_equal_differences_are_certain() -> None:
    assert metrics.estimate([2.0, 2.0, 2.0]).p_value == 0.0
    assert metrics.estimate([0.0, 0.0]).p_value == 1.0


def test_paired_uses_common_seeds() -> None:
    found = metrics.paired(
        {(0, 0): 0.9, (1, 1): 0.8, (5, 5): 0.1}, {(0, 0): 0.8, (1, 1): 0.8, (7, 7): 0.9}
    )
    assert found is not None
    assert found.seeds == 2
    assert found.mean == pytest.approx(5.0)
    assert metrics.paired({(0, 0): 1.0}, {(1, 1): 1.0}) is None


def test_paired_interval_cancels_common_variation() -> None:
    first = {(seed, seed): 0.1 * seed + 0.05 for seed in range(5)}
    second = {(seed, seed): 0.1 * seed for seed in range(5)}
    found = metrics.paired(first, second)
    assert found is not None
    assert [found.low, found.high] == pytest.approx([5.0, 5.0])


def test_longer_run_is_separate() -> None:
    usual = record("x", 0, 0.5)
    longer = replace(usual, stage="longer", accuracy=0.9, validation=(0.0, 0.0, 0.9))
    found = evaluation(usual, longer)
    assert metrics.attacked(found, "x", None) == {(0, 0): 0.5}
    assert metrics.longer_run(found, "x", None) == pytest.approx(90.0)


def test_attackers_choice_ignores_the_test_set() -> None:
    lucky = record("x", 0, 0.99, validation=0.4)
    chosen = record("x", 0, 0.20, validation=0.6)
    tied = record("x", 0, 0.30, validation=0.6, loss=0.5)
    assert metrics.strongest([lucky, chosen]) is chosen
    assert metrics.strongest([lucky, chosen, tied]) is tied
    assert metrics.strongest([record("x", 0, None)]) is None


def test_advantage_is_against_the_strongest_scratch_attack() -> None:
    found = evaluation(
        record("x", 0, 0.80), record("x", 1, 0.90),
        record("scratch", 0, 0.70, validation=0.9), record("scratch", 1, 0.70, validation=0.9),
        record("scratch", 0, 0.99, family="last 2 layers", validation=0.1),
        record("scratch", 1, 0.99, family="last 2 layers", validation=0.1),
    )  # fmt: skip
    gain = metrics.advantage(found, "x", None, "all layers")
    assert gain is not None
    assert gain.mean == pytest.approx(15.0)


def test_unreached_steps_are_censored() -> None:
    found = evaluation(
        *(record("Plain", seed, 0.9) for seed in (0, 1, 2)),
        record("x", 0, 0.9, test=(0.85, 0.9, 0.9)),
        record("x", 1, 0.9, test=(0.1, 0.2, 0.3)),
        record("x", 1, None, attack="b", test=(0.1, 0.82, 0.1)),
        record("x", 2, 0.9, test=(0.1, 0.2, 0.3)),
    )
    reached = metrics.steps_to_reach(found, "x", None, "all layers", 0.9)
    assert reached == [1, 10, None]
    assert metrics.median_steps(reached) == 10
    assert metrics.median_steps([None, None, 3]) is None
    assert metrics.median_steps([]) is None


def test_given_model_has_one_desirable_accuracy() -> None:
    given = [Training("defended", "x", "as given", seed, 0.9, 1.0) for seed in (0, 1, 2)]
    found = metrics.points(metrics.desirable(Evaluation({}, tuple(given), ()), "x"))
    assert found is not None
    assert (found.mean, found.seeds, found.high) == (90.0, 1, math.inf)


def test_lists_methods_and_desirable_accuracies() -> None:
    found = evaluation(record("Plain", 0, 0.9), record("x", 0, 0.9), record("scratch", 0, 0.5))
    assert metrics.methods(found) == ["Plain", "x", "scratch"]
    assert metrics.undefended(found) == "Plain"
    assert metrics.desirable(found, "x") == {(0, 0): 0.9, (1, 1): 0.91, (2, 2): 0.92}
    assert metrics.failures(found, "x") == (0, 1)


def test_compares_with_the_first_undefended_method() -> None:
    """As flags do."""
    first = Training("undefended", "Plain", "", 0, 0.9, 1.0)
    second, own = replace(first, method="Longer"), replace(first, arm="defended", method="x")
    found = Evaluation({}, (first, second, own), ())
    assert metrics.undefended(found) == "Plain"
    reference = Case(found, own).undefended
    assert reference is not None and reference.training is first


def test_misspelt_method_is_an_error_not_none() -> None:
    found = evaluation(record("BestResponse", 0, 0.5), record("scratch", 0, 0.4))
    assert metrics.advantage(found, "BestResponse", None) is not None
    with pytest.raises(InputError, match="did you mean 'BestResponse'"):
        metrics.advantage(found, "bestresponse", None)
    with pytest.raises(InputError, match=r"labels per class out of None .None is all.; got 100"):
        metrics.advantage(found, "BestResponse", 100)
    alone = evaluation(record("BestResponse", 0, 0.5))
    assert metrics.advantage(alone, "BestResponse", None) is None  # there is no scratch
