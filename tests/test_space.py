"""The search: its proposals depend on the findings alone."""

from __future__ import annotations

import sys

import pytest

from rootbound.attacks import FineTune, LastLayer
from rootbound.core.errors import InputError
from rootbound.suites.space import Space

FOUND = [
    (FineTune(optimiser="adamw", learning_rate=rate), value)
    for rate, value in ((1e-4, 0.3), (1e-3, 0.8), (3e-3, 0.9), (1e-2, 0.7), (1e-1, 0.2))
]


def test_same_findings_give_the_same_proposals() -> None:
    space = Space(proposals=6)
    first = space.propose(FOUND, seed=1)
    assert first == space.propose(FOUND, seed=1)
    assert first != space.propose(FOUND, seed=2)
    assert len(set(first)) == len(first) == 6


def test_proposals_stay_inside_and_can_be_written_exactly() -> None:
    space = Space(proposals=20)
    for trial in space.propose(FOUND, seed=0):
        assert space.learning_rate[0] <= trial.learning_rate <= space.learning_rate[1]
        assert space.warm_up[0] <= trial.warm_up <= space.warm_up[1]
        assert eval(repr(trial), {"FineTune": FineTune}) == trial


def test_proposals_learn_from_findings() -> None:
    space, near = Space(proposals=1), 0
    rates = [1e-4 * 1.2**step for step in range(45)]
    good = [
        (FineTune(optimiser="adamw", learning_rate=rate), 0.9 if 1e-3 <= rate <= 5e-3 else 0.1)
        for rate in rates
    ]
    for seed in range(20):
        (trial,) = space.propose(good, seed)
        near += 5e-4 <= trial.learning_rate <= 1e-2
    assert near >= 12  # by chance it would be 7


def test_trials_outside_the_space_are_ignored() -> None:
    space = Space(proposals=3)
    outside = [
        (LastLayer(), 1.0),
        (FineTune(layers=2), 1.0),
        (FineTune(learning_rate=5.0), 1.0),
        (FineTune(optimiser="muon"), 1.0),
    ]
    assert space.propose([*FOUND, *outside], 0) == space.propose(FOUND, 0)


def test_names_optuna_if_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match="pip install 'rootbound"):
        Space().check()
