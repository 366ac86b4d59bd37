"""Numbers about methods and attacks, as pure functions of records.

Accuracies are in [0, 1]; differences of accuracies, and intervals, are in percentage points.
"""

from rootbound.metrics.attackers import (
    advantage,
    attacked,
    balanced,
    is_well_tuned,
    marginal_advantage,
    realistic,
    strongest_families,
    well_tuned,
)
from rootbound.metrics.cells import (
    balanced_desirable,
    benign,
    budgets,
    columns,
    desirable,
    failures,
    families,
    methods,
    public,
    selected,
    strongest,
    trials,
    undefended,
)
from rootbound.metrics.costs import (
    kaplan_meier_median,
    labels_multiples,
    median_steps,
    multiples,
    steps_to_reach,
)
from rootbound.metrics.desirable_task import desirable_accuracy, desirable_change
from rootbound.metrics.estimates import Estimate, estimate, over_draws, paired, points
from rootbound.metrics.gate import CellEnd, Decision, End, decide
from rootbound.metrics.scores import (
    best_so_far,
    by_family,
    longer_run,
    mean_resistance,
    median_attack,
    oracle,
    resistance,
)
from rootbound.metrics.standings import Standing, standings

__all__ = [
    "CellEnd",
    "Decision",
    "End",
    "Estimate",
    "Standing",
    "advantage",
    "attacked",
    "balanced",
    "balanced_desirable",
    "benign",
    "best_so_far",
    "budgets",
    "by_family",
    "columns",
    "decide",
    "desirable",
    "desirable_accuracy",
    "desirable_change",
    "estimate",
    "failures",
    "families",
    "is_well_tuned",
    "kaplan_meier_median",
    "labels_multiples",
    "longer_run",
    "marginal_advantage",
    "mean_resistance",
    "median_attack",
    "median_steps",
    "methods",
    "multiples",
    "oracle",
    "over_draws",
    "paired",
    "points",
    "public",
    "realistic",
    "resistance",
    "selected",
    "standings",
    "steps_to_reach",
    "strongest",
    "strongest_families",
    "trials",
    "undefended",
    "well_tuned",
]
