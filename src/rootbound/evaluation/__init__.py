"""Evaluation: arms, attacks, budgets and seeds in; records out.

`comparison` begins a run and hands out jobs. A plan (`full_plan`, `timed_plan` or `deciding_plan`)
decides from records what comes next. A worker does each job (`jobs`) and runs the attacks
(`harness`). The `journal` keeps every result in the run's folder, so that an interrupted run can
continue.
"""

from rootbound.evaluation.attacker import AttackerResources
from rootbound.evaluation.comparison import compare, evaluate
from rootbound.evaluation.harness import attack
from rootbound.evaluation.plan import Subject

__all__ = ["AttackerResources", "Subject", "attack", "compare", "evaluate"]
