"""Tier R: attacks that change the network first, or that do without its gradient.

Repairs by what they change: `normalisations`, `weights`, `activations` (also gates that are
modules), `reinitialise` (parts drawn anew or thrown away), `balance_layers` and `balance_factors`
(the same function in other scales), `insert_whitening`, `inside` (gates and cuts within blocks,
found by `gates`), and `by_training`. Attacks: `Repaired` (in `repair`), and `GradientFree` and
`ReassignHead` (in `without_gradients`).
"""

from rootbound.attacks.repairs.activations import BypassGates, LeakyActivations, Sanitise, ShiftBias
from rootbound.attacks.repairs.balance_factors import BalanceFactors
from rootbound.attacks.repairs.balance_layers import BalanceLayers
from rootbound.attacks.repairs.by_training import (
    Distil,
    SelfSupervise,
    SeparateClasses,
    TuneOnDesirable,
)
from rootbound.attacks.repairs.insert_whitening import InsertWhitening
from rootbound.attacks.repairs.inside import CutInside, OpenGates
from rootbound.attacks.repairs.normalisations import RecomputeStatistics, ResetNorms
from rootbound.attacks.repairs.reinitialise import ReinitialiseDead, ReinitialiseLast, Truncate
from rootbound.attacks.repairs.repair import Repair, Repaired, Restart
from rootbound.attacks.repairs.weights import Interpolate, Prune, ShrinkAndPerturb
from rootbound.attacks.repairs.without_gradients import GradientFree, ReassignHead

__all__ = [
    "BalanceFactors",
    "BalanceLayers",
    "BypassGates",
    "CutInside",
    "Distil",
    "GradientFree",
    "InsertWhitening",
    "Interpolate",
    "LeakyActivations",
    "OpenGates",
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
