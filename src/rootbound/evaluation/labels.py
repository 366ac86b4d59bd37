"""The attacker's labels: what it learns from, what it selects by, what it is judged on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from rootbound.attacks import Budget
from rootbound.data import Data
from rootbound.evaluation.seeds import stable_seed
from rootbound.tasks import Task
from rootbound.training import predict

VALIDATION_SHARE = 0.2
VALIDATION_LIMIT = 100
"""Of the attacker's labels of a class, how many select settings: a fifth, at most 100."""
CURVE_SAMPLES = 500
"""Test samples behind each point of a curve; selected trials are scored on all of them."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples to learn from and to select by; and test samples, which no attack sees."""

    train: Data
    validation: Data
    curve: Data
    test: Data

    def through(self, prefix: nn.Module) -> Labelled:
        """Return the same samples as a frozen network passes them on."""
        if not list(prefix.children()):
            return self
        return Labelled(
            *(
                Data(predict(prefix, data).clone(), data.labels)
                for data in (self.train, self.validation, self.curve, self.test)
            )
        )


def draw(task: Task, budget: Budget, seed: int) -> Labelled:
    """Draw the attacker's labels and split off validation; the same for every arm.

    Raises:
        InputError: there are not more labels than the budget says.
    """
    generator = torch.Generator().manual_seed(stable_seed("labels", budget.labels, seed))
    pool = task.train
    if budget.labels is not None:
        pool, _ = pool.per_class(budget.labels, generator)
    per_class = int(pool.labels.bincount().min())
    held = max(1, min(VALIDATION_LIMIT, int(per_class * VALIDATION_SHARE)))
    validation, train = pool.per_class(held, generator)
    return Labelled(train, validation, task.test.subset(CURVE_SAMPLES), task.test)
