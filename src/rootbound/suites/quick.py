"""The suites demo and quick.

`demo` is what a practitioner tries, in seconds per model; `quick` has one setting of every idea.
The second version of each attacks several draws of labels, because with few labels a single draw
depends on luck. All attacks meet the first draw; the best ones meet the other draws, which count.
`quick-2` also looks inside blocks. `quick-3` also reads through random convolutions, which need no
weights at all.
"""

from __future__ import annotations

from dataclasses import replace

from rootbound.attacks import (
    Attack,
    Budget,
    Convolutions,
    DiscriminantHead,
    ExactLastLayer,
    FineTune,
    KernelRidge,
    LastLayer,
    NearestNeighbours,
    Reading,
    RidgeHead,
    repairs,
)
from rootbound.suites.inside import INSIDE
from rootbound.suites.suite import Suite


def list_rates(lowest: float, count: int) -> list[float]:
    """Return a log grid: 1 and 3 times each power of ten."""
    return [round(lowest * 10 ** (i // 2) * (1, 3)[i % 2], 10) for i in range(count)]


def list_last_layers(layers: int) -> list[FineTune]:
    """Return a small grid for the last layers; SGD with fresh weights gets the higher rate."""
    return [
        *(FineTune(layers, "kept", "adam", rate) for rate in (1e-3, 4e-3)),
        FineTune(layers, "kept", "sgd", 0.03),
        *(FineTune(layers, "re-initialised", "adam", rate) for rate in (1e-3, 4e-3)),
        FineTune(layers, "re-initialised", "sgd", 0.1),
    ]


DEMO_1 = Suite(
    name="demo-1",
    attacks=(
        *(LastLayer("sgd", rate) for rate in list_rates(1e-3, 8)),
        *(LastLayer("adam", rate) for rate in list_rates(1e-4, 8)),
        *(ExactLastLayer(penalty, "whitened") for penalty in (1e-2, 1e-3, 1e-4, 1e-5)),
        *(ExactLastLayer(penalty, "standardised") for penalty in (1e-1, 1e-2, 1e-3)),
        *(trial for layers in (2, 3, 4, 5) for trial in list_last_layers(layers)),
        # With all layers re-initialised it would be the scratch arm.
        *(FineTune(None, "kept", "adam", rate) for rate in (1e-3, 4e-3)),
        *(FineTune(None, "kept", "sgd", rate) for rate in (0.03, 0.1)),
    ),
    budgets=(Budget(10, 60), Budget(100, 80), Budget(None, 100)),
)

DEMO_2 = replace(DEMO_1, name="demo-2", draws=(6, 4, 3), finalists=3)

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
            repairs.Repaired(repair, PLAIN)
            for repair in (
                repairs.RecomputeStatistics(),
                repairs.ResetNorms(),
                repairs.BalanceLayers("units"),
                repairs.BalanceFactors(),
                repairs.InsertWhitening(),
                repairs.Sanitise(),
                repairs.BypassGates(),
                repairs.ShiftBias(),
                repairs.ReinitialiseDead(),
                repairs.ReinitialiseLast(1),
                repairs.Truncate(1),
                repairs.Truncate(2),
            )
        ),
        repairs.Repaired(repairs.Truncate(1), ExactLastLayer(1e-2, "standardised")),
        repairs.ReassignHead(),
        repairs.GradientFree(0),
    ),
    budgets=(Budget(10, 60), Budget(100, 80)),
    controls=True,
)

QUICK_2 = replace(
    QUICK_1, name="quick-2", attacks=(*QUICK_1.attacks, *INSIDE), draws=(11, 6), finalists=8
)

CONVOLVED: tuple[Attack, ...] = tuple(
    RidgeHead(penalty, reading=reading)
    for reading in (
        Convolutions("inputs"),
        Convolutions("inputs", 5),
        Convolutions("first half"),
        Convolutions("all blocks"),
    )
    for penalty in (0.3, 3.0, 30.0)
)
"""Attacks that need no weights of the network, and those that add what its blocks say."""

QUICK_3 = replace(
    QUICK_2,
    name="quick-3",
    attacks=(
        *QUICK_2.attacks,
        *CONVOLVED,
        *(
            repairs.Repaired(repairs.OpenGates(), RidgeHead(penalty, reading=reading))
            for penalty, reading in ((0.1, Reading("all")), (3.0, Convolutions("all blocks")))
        ),
    ),
)
