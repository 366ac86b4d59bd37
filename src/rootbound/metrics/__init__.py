"""Numbers about methods and attacks, as pure functions of records.

Accuracies are in [0, 1]; differences of accuracies, and intervals, are in percentage points.
"""

from rootbound.metrics.attackers import (
    advantage,
    attacked,
    marginal_advantage,
    strongest_families,
)
from rootbound.metrics.cells import budgets, desirable, methods
from rootbound.metrics.desirable_task import desirable_accuracy, desirable_change
from rootbound.metrics.estimates import Estimate, paired, points
from rootbound.metrics.gate import Decision, decide
from rootbound.metrics.standings import Standing, standings

__all__ = [
    "Decision",
    "Estimate",
    "Standing",
    "advantage",
    "attacked",
    "budgets",
    "decide",
    "desirable",
    "desirable_accuracy",
    "desirable_change",
    "marginal_advantage",
    "methods",
    "paired",
    "points",
    "standings",
    "strongest_families",
]
