"""Attacks: ways to repurpose a model; one idea a file."""

from rootbound.attacks.base import Attack, Snapshot, StackedAttack
from rootbound.attacks.budget import Attacker, Budget
from rootbound.attacks.probes import (
    DiscriminantHead,
    ExactLastLayer,
    KernelRidge,
    LastLayer,
    NearestNeighbours,
    PerceptronProbe,
    Probe,
    Reading,
    RidgeHead,
)
from rootbound.attacks.repairs import GradientFree, ReassignHead, Repair, Repaired
from rootbound.attacks.tuning import FineTune, JointTune, LoRA, PartialFineTune

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
