"""Attacks: ways to repurpose a model, in the tiers `probes`, `tuning` and `repairs`."""

from typing import TYPE_CHECKING

import rootbound
from rootbound.attacks.base import Attack, Snapshot, StackedAttack
from rootbound.attacks.budget import Attacker, Budget
from rootbound.attacks.probes.by_distance import KernelRidge, NearestNeighbours
from rootbound.attacks.probes.closed_form import DiscriminantHead, RidgeHead
from rootbound.attacks.probes.convolutions import Convolutions
from rootbound.attacks.probes.exact_last_layer import ExactLastLayer
from rootbound.attacks.probes.last_layer import LastLayer
from rootbound.attacks.probes.perceptron import PerceptronProbe
from rootbound.attacks.probes.probe import Probe, Reading
from rootbound.attacks.repairs import GradientFree, ReassignHead, Repair, Repaired
from rootbound.attacks.tuning.fine_tune import FineTune, JointTune
from rootbound.attacks.tuning.partial import LoRA, PartialFineTune

ATTACKS: dict[str, type[Attack]] = {
    attack.__name__: attack
    for attack in (
        LastLayer,
        ExactLastLayer,
        RidgeHead,
        DiscriminantHead,
        NearestNeighbours,
        PerceptronProbe,
        KernelRidge,
        FineTune,
        PartialFineTune,
        LoRA,
        JointTune,
        Repaired,
        GradientFree,
        ReassignHead,
    )
}

__all__ = [
    "ATTACKS",
    "Attack",
    "Attacker",
    "Budget",
    "Convolutions",
    "DiscriminantHead",
    "ExactLastLayer",
    "FineTune",
    "GradientFree",
    "JointTune",
    "KernelRidge",
    "LastLayer",
    "LoRA",
    "NearestNeighbours",
    "PartialFineTune",
    "PerceptronProbe",
    "Probe",
    "Reading",
    "ReassignHead",
    "Repair",
    "Repaired",
    "RidgeHead",
    "Snapshot",
    "StackedAttack",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return names that have moved to `rootbound.suites`."""
        if name in ("SUITES", "Suite", "find_suite"):
            return getattr(rootbound.suites, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
