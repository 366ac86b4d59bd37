"""Desirable accuracy and its price: of one given model over test samples, else over models."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from scipy import stats

from rootbound.data import TaskPair
from rootbound.evaluation import evaluate
from rootbound.metrics import measures as metrics
from rootbound.networks import Classifier
from rootbound.records import Arm, Configuration, Evaluation, Training
from rootbound.suites import Suite

SAMPLES = 400


ARMS: tuple[Arm, Arm] = ("defended", "undefended")


def audit(wrong: Iterable[int], usual: Iterable[int], samples: int = SAMPLES) -> Evaluation:
    """Return an audit of a given model, beside an undefended one, with these errors."""
    trainings = tuple(
        Training(
            arm, arm, "as given", seed, 1 - len(set(errors)) / samples, 0.0,
            desirable_errors=tuple(errors),
        )
        for arm, errors in zip(ARMS, (tuple(wrong), tuple(usual)), strict=True)
        for seed in (0, 1)
    )  # fmt: skip
    return Evaluation({"desirable": {"test_samples": samples}}, trainings, ())


@pytest.mark.parametrize("errors", [0, 1, 12, SAMPLES])
def test_accuracy_of_a_given_model_has_the_exact_interval(errors: int) -> None:
    found = metrics.desirable_accuracy(audit(range(errors), ()), "defended")
    exact = stats.binomtest(SAMPLES - errors, SAMPLES).proportion_ci(0.95, "exact")
    assert found is not None
    assert found.mean == pytest.approx(100 * (1 - errors / SAMPLES))
    assert (found.low, found.high) == pytest.approx((100 * exact.low, 100 * exact.high))


def test_price_is_paired_over_samples() -> None:
    """What both models get wrong says nothing of the price."""
    alone = metrics.desirable_change(audit(range(8), range(2)), "defended")
    shared = metrics.desirable_change(audit(range(108), (*range(2), *range(8, 108))), "defended")
    assert alone is not None and alone == shared
    assert alone.mean == pytest.approx(-1.5) and alone.significant
    # By hand: 6.5 lost and 0.5 gained of 402.
    error = ((7 / 402 - (6 / 402) ** 2) / 402) ** 0.5
    assert alone.low == pytest.approx(100 * (-6 / 402 - 1.959964 * error), abs=1e-4)
    assert -alone == metrics.desirable_change(audit(range(2), range(8)), "defended")


@pytest.mark.parametrize(("lost", "gained"), [(0.02, 0.02), (0.05, 0.01), (0.003, 0.001)])
def test_interval_of_the_price_holds_the_truth(lost: float, gained: float) -> None:
    generator, hits, rounds = random.Random(2), 0, 500
    for _ in range(rounds):
        draws = [generator.random() for _ in range(2000)]
        own = [place for place, draw in enumerate(draws) if draw < lost]
        usual = [place for place, draw in enumerate(draws) if lost <= draw < lost + gained]
        found = metrics.desirable_change(audit(own, usual, 2000), "defended")
        assert found is not None
        hits += found.low <= 100 * (gained - lost) <= found.high
    assert 0.93 <= hits / rounds <= 0.99


def test_trained_models_have_intervals_over_models() -> None:
    trainings = tuple(
        Training(arm, arm, Configuration(arm, {}), seed, accuracy, 1.0)
        for arm, values in zip(ARMS, ((0.9, 0.8), (0.95, 0.9)), strict=True)
        for seed, accuracy in enumerate(values)
    )
    found = Evaluation({"desirable": {"test_samples": 100}}, trainings, ())
    assert metrics.desirable_accuracy(found, "defended") == metrics.estimate([90.0, 80.0])
    change = metrics.desirable_change(found, "defended")
    assert change is not None and change.mean == pytest.approx(-7.5) and change.seeds == 2
    assert metrics.desirable_change(found, "undefended") is None


def test_audit_records_desirable_errors(
    toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite, tmp_path: Path
) -> None:
    other = toy_model.reinitialised(3)
    found = evaluate(
        toy_model, toy_tasks, undefended=other, suite=toy_suite, seeds=1, folder=tmp_path
    )
    (own,) = (one for one in found.trainings if one.arm == "defended")
    assert own.desirable_errors is not None and own.desirable_accuracy is not None
    wrong = len(own.desirable_errors) / len(toy_tasks.desirable.test)
    assert own.desirable_accuracy == pytest.approx(1 - wrong, abs=1e-4)
    kept = Evaluation.load(tmp_path).trainings
    assert [one.desirable_errors for one in kept] == [
        one.desirable_errors for one in found.trainings
    ]
    price = metrics.desirable_change(found, "defended")
    assert price is not None and price.low < price.mean < price.high
    (fresh,) = (one for one in found.trainings if one.arm == "scratch")
    assert fresh.desirable_errors is None
