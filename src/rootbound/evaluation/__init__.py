"""Evaluation: arms, attacks, budgets and seeds in; records out."""

from rootbound.evaluation.assignments import Subject
from rootbound.evaluation.comparison import compare, evaluate
from rootbound.evaluation.harness import Holdings, attack
from rootbound.evaluation.workers import Engine, InProcess, Pool, RayCluster

__all__ = [
    "Engine",
    "Holdings",
    "InProcess",
    "Pool",
    "RayCluster",
    "Subject",
    "attack",
    "compare",
    "evaluate",
]
