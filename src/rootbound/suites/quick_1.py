"""quick-1: one setting of every idea, in a minute or two; for a first look at a model."""

from __future__ import annotations

from rootbound.attacks.budget import Budget
from rootbound.attacks.probes import (
    DiscriminantHead,
    ExactLastLayer,
    KernelRidge,
    LastLayer,
    NearestNeighbours,
    Reading,
    RidgeHead,
)
from rootbound.attacks.repairs import (
    BalanceFactors,
    BalanceLayers,
    BypassGates,
    GradientFree,
    InsertWhitening,
    ReassignHead,
    RecomputeStatistics,
    ReinitialiseDead,
    ReinitialiseLast,
    Repaired,
    ResetNorms,
    Sanitise,
    ShiftBias,
    Truncate,
)
from rootbound.attacks.tuning import FineTune
from rootbound.suites.suite import Suite

PLAIN = FineTune(None, "kept", "adam", 2e-3)
EARLIER = (Reading(0, "before"), Reading(1), Reading(2), Reading("all"))

QUICK_1 = Suite(
    name="quick-1",
    attacks=(
        *(LastLayer("sgd", rate) for rate in (1e-3, 1e-2, 1e-1, 1.0)),
        *(LastLayer("sgd", rate, unit="curvature") for rate in (0.1, 1.0)),
        *(LastLayer("adam", rate) for rate in (1e-3, 1e-2, 1e-1)),
        *(ExactLastLayer(penalty, "whitened") for penalty in (1e-2, 1e-4)),
        *(ExactLastLayer(penalty, "standardised") for penalty in (1e-1, 1e-3)),
        NearestNeighbours(5, "whitened"),
        NearestNeighbours(5, "cosine"),
        KernelRidge(1.0, coordinates="standardised"),
        KernelRidge(1.0, coordinates="whitened"),
        *(
            probe
            for reading in EARLIER
            for probe in (
                RidgeHead(1e-1, "whitened", reading=reading),
                RidgeHead(1e-1, "standardised", reading=reading),
                DiscriminantHead(0.1, reading=reading),
            )
        ),
        *(FineTune(None, "kept", "adam", rate) for rate in (5e-4, 2e-3, 8e-3)),
        *(FineTune(None, "kept", "sgd", rate) for rate in (0.03, 0.1)),
        FineTune(None, "kept", "adam", 2e-3, head="probe"),
        FineTune(None, "kept", "adam", 2e-3, head="given"),
        FineTune(None, "kept", "adam", 4e-3, augmentation="shift"),
        FineTune(2, "kept", "adam", 4e-3),
        FineTune(2, "re-initialised", "adam", 4e-3),
        FineTune(3, "re-initialised", "adam", 4e-3),
        *(
            Repaired(repair, PLAIN)
            for repair in (
                RecomputeStatistics(),
                ResetNorms(),
                BalanceLayers("units"),
                BalanceFactors(),
                InsertWhitening(),
                Sanitise(),
                BypassGates(),
                ShiftBias(),
                ReinitialiseDead(),
                ReinitialiseLast(1),
                Truncate(1),
                Truncate(2),
            )
        ),
        Repaired(Truncate(1), ExactLastLayer(1e-2, "standardised")),
        ReassignHead(),
        GradientFree(0),
    ),
    budgets=(Budget(10, 60), Budget(100, 80)),
    controls=True,
)
