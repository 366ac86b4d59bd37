"""demo-1: what a practitioner tries, in seconds a model; for the seed experiment."""

from __future__ import annotations

from rootbound.attacks.budget import Budget
from rootbound.attacks.probes import ExactLastLayer, LastLayer
from rootbound.attacks.tuning import FineTune
from rootbound.suites.suite import Suite


def rates(lowest: float, count: int) -> list[float]:
    """Return a log grid: 1 and 3 times each power of ten."""
    return [round(lowest * 10 ** (i // 2) * (1, 3)[i % 2], 10) for i in range(count)]


def last_layers(layers: int) -> list[FineTune]:
    """Return a small grid for the last layers; SGD likes fresh weights at the higher rate."""
    return [
        *(FineTune(layers, "kept", "adam", rate) for rate in (1e-3, 4e-3)),
        FineTune(layers, "kept", "sgd", 0.03),
        *(FineTune(layers, "re-initialised", "adam", rate) for rate in (1e-3, 4e-3)),
        FineTune(layers, "re-initialised", "sgd", 0.1),
    ]


DEMO_1 = Suite(
    name="demo-1",
    attacks=(
        *(LastLayer("sgd", rate) for rate in rates(1e-3, 8)),
        *(LastLayer("adam", rate) for rate in rates(1e-4, 8)),
        *(ExactLastLayer(penalty, "whitened") for penalty in (1e-2, 1e-3, 1e-4, 1e-5)),
        *(ExactLastLayer(penalty, "standardised") for penalty in (1e-1, 1e-2, 1e-3)),
        *(trial for layers in (2, 3, 4, 5) for trial in last_layers(layers)),
        # All layers re-initialised would be the from-scratch arm.
        *(FineTune(None, "kept", "adam", rate) for rate in (1e-3, 4e-3)),
        *(FineTune(None, "kept", "sgd", rate) for rate in (0.03, 0.1)),
    ),
    budgets=(Budget(10, 60), Budget(100, 80), Budget(None, 100)),
)
