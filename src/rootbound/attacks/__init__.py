"""Attacks: ways to repurpose a model; one idea a file."""

from rootbound.attacks.base import Attack, Budget, Snapshot, StackedAttack
from rootbound.attacks.exact_last_layer import ExactLastLayer
from rootbound.attacks.fine_tune import FineTune
from rootbound.attacks.last_layer import LastLayer
from rootbound.attacks.suite import SUITES, Suite, find_suite

ATTACKS: dict[str, type[Attack]] = {
    attack.__name__: attack for attack in (LastLayer, ExactLastLayer, FineTune)
}

__all__ = [
    "ATTACKS",
    "SUITES",
    "Attack",
    "Budget",
    "ExactLastLayer",
    "FineTune",
    "LastLayer",
    "Snapshot",
    "StackedAttack",
    "Suite",
    "find_suite",
]
