"""Attacks: ways to repurpose a model; one idea a file."""

from rootbound.attacks.base import Attack, Snapshot, StackedAttack
from rootbound.attacks.budget import Attacker, Budget
from rootbound.attacks.probes import ExactLastLayer, LastLayer, Probe, Reading
from rootbound.attacks.repairs import Repair, Repaired
from rootbound.attacks.suites import SUITES, Suite, find_suite
from rootbound.attacks.tuning import FineTune, LoRA, PartialFineTune

ATTACKS: dict[str, type[Attack]] = {
    attack.__name__: attack
    for attack in (LastLayer, ExactLastLayer, FineTune, PartialFineTune, LoRA, Repaired)
}

__all__ = [
    "ATTACKS",
    "SUITES",
    "Attack",
    "Attacker",
    "Budget",
    "ExactLastLayer",
    "FineTune",
    "LastLayer",
    "LoRA",
    "PartialFineTune",
    "Probe",
    "Reading",
    "Repair",
    "Repaired",
    "Snapshot",
    "StackedAttack",
    "Suite",
    "find_suite",
]
