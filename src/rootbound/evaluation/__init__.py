"""Evaluation: arms, attacks, budgets and seeds in; records out."""

from rootbound.evaluation.comparison import compare, evaluate
from rootbound.evaluation.harness import Subject, attack

__all__ = ["Subject", "attack", "compare", "evaluate"]
