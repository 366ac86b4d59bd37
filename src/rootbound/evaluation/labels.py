"""The attacker's labels: what it learns from, what it selects by, what it is judged on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from rootbound.attacks import Budget
from rootbound.data import Data, Task
from rootbound.evaluation.seeds import stable_seed
from rootbound.training import predict

VALIDATION_SHARE = 0.2
VALIDATION_LIMIT = 100
"""Of the attacker's labels of a class, how many select settings: a fifth, at most 100."""
CURVE_SAMPLES = 500
"""Test samples behind each point of a curve; selected trials are scored on all of them."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples to learn from and to select by (None with one label a class); and test samples.

    No attack sees validation or test samples.
    """

    train: Data
    validation: Data | None
    curve: Data
    test: Data

    def through(self, frozen: nn.Module, passed: dict[Data, Data]) -> Labelled:
        """Return the same samples as a frozen network passes them on.

        Args:
            frozen: the network; an empty one leaves the samples as they are.
            passed: what it has been given before, so that no sample passes twice.

        Raises:
            InputError: what it makes of them is not finite.
        """
        if isinstance(frozen, nn.Sequential) and not len(frozen):
            return self
        for data in (self.train, self.validation, self.curve, self.test):
            if data is not None and data not in passed:
                outputs = predict(frozen, data).clone()
                passed[data] = Data(outputs, data.labels, stratified=data.stratified)
        validation = None if self.validation is None else passed[self.validation]
        return Labelled(passed[self.train], validation, passed[self.curve], passed[self.test])


def draw(task: Task, curve: Data, budget: Budget, seed: int) -> Labelled:
    """Draw the attacker's labels and split off validation; the same for every arm.

    Args:
        task: with the attacker's training data.
        curve: test samples for the points of curves.
        budget: how many labels.
        seed: of the draw.

    Raises:
        InputError: there are not more labels than the budget says.
    """
    generator = torch.Generator().manual_seed(stable_seed("labels", budget.labels, seed))
    pool = task.train
    if budget.labels is not None:
        pool, _ = pool.per_class(budget.labels, generator)
    counts = pool.labels.bincount()
    per_class = int(counts.min()) if pool.stratified else len(pool) // int((counts > 0).sum())
    if per_class == 1:
        return Labelled(pool, None, curve, task.test)
    held = max(1, min(VALIDATION_LIMIT, int(per_class * VALIDATION_SHARE)))
    validation, train = pool.per_class(held, generator)
    return Labelled(train, validation, curve, task.test)
