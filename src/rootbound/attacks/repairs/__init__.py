"""Tier R: the network is changed first, or met in another way than by its gradient."""

from rootbound.attacks.repairs.activations import LeakyActivations
from rootbound.attacks.repairs.balancing import BalanceLayers
from rootbound.attacks.repairs.bypass import BypassGates
from rootbound.attacks.repairs.desirable_first import TuneOnDesirable
from rootbound.attacks.repairs.distil import Distil
from rootbound.attacks.repairs.factors import BalanceFactors
from rootbound.attacks.repairs.gradient_free import GradientFree
from rootbound.attacks.repairs.interpolate import Interpolate
from rootbound.attacks.repairs.prune import Prune
from rootbound.attacks.repairs.reassign_head import ReassignHead
from rootbound.attacks.repairs.reinitialise import ReinitialiseDead, ReinitialiseLast
from rootbound.attacks.repairs.repair import Repair, Repaired
from rootbound.attacks.repairs.restart import Restart
from rootbound.attacks.repairs.revive import ShiftBias
from rootbound.attacks.repairs.sanitise import Sanitise
from rootbound.attacks.repairs.self_supervised import SelfSupervise
from rootbound.attacks.repairs.separate_classes import SeparateClasses
from rootbound.attacks.repairs.shrink_and_perturb import ShrinkAndPerturb
from rootbound.attacks.repairs.statistics import RecomputeStatistics, ResetNorms
from rootbound.attacks.repairs.truncate import Truncate
from rootbound.attacks.repairs.whitening_layer import InsertWhitening

REPAIRS: dict[str, type[Repair]] = {
    repair.__name__: repair
    for repair in (
        RecomputeStatistics,
        ResetNorms,
        BalanceLayers,
        BalanceFactors,
        InsertWhitening,
        Sanitise,
        BypassGates,
        LeakyActivations,
        ShiftBias,
        ReinitialiseDead,
        ReinitialiseLast,
        Truncate,
        ShrinkAndPerturb,
        Prune,
        TuneOnDesirable,
        SelfSupervise,
        SeparateClasses,
        Distil,
        Interpolate,
        Restart,
    )
}

__all__ = [
    "REPAIRS",
    "BalanceFactors",
    "BalanceLayers",
    "BypassGates",
    "Distil",
    "GradientFree",
    "InsertWhitening",
    "Interpolate",
    "LeakyActivations",
    "Prune",
    "ReassignHead",
    "RecomputeStatistics",
    "ReinitialiseDead",
    "ReinitialiseLast",
    "Repair",
    "Repaired",
    "ResetNorms",
    "Restart",
    "Sanitise",
    "SelfSupervise",
    "SeparateClasses",
    "ShiftBias",
    "ShrinkAndPerturb",
    "Truncate",
    "TuneOnDesirable",
]
