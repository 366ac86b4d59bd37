"""Evaluation: arms, attacks, budgets and seeds in; records out."""

from rootbound.evaluation.assignments import Subject
from rootbound.evaluation.comparison import compare, evaluate
from rootbound.evaluation.harness import Holdings, attack

__all__ = [
    "Holdings",
    "Subject",
    "attack",
    "compare",
    "evaluate",
]
