"""A suite of four attacks for the command line, whose own suites have fifty and more."""

from __future__ import annotations

from rootbound.attacks import Budget, ExactLastLayer, FineTune, LastLayer
from rootbound.suites import Suite

SUITE = Suite(
    "small-1",
    attacks=(
        LastLayer("adam", 0.1),
        ExactLastLayer(1e-3),
        FineTune(None, "kept", "adam", 1e-2),
        FineTune(None, "kept", "sgd", 0.05),
    ),
    budgets=(Budget(5, 4), Budget(None, 6)),
    confirmed=1,
    attackers=1,
    longer=2,
)
FEW = ("--suite", f"{__file__}:SUITE")
"""Options of a command."""
