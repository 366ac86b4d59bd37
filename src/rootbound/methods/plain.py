"""The control: training without intervention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional

from rootbound.data import TaskPair
from rootbound.methods.base import Method
from rootbound.networks import Classifier
from rootbound.training import minimise


@dataclass(frozen=True)
class Plain(Method):
    """Train on the desirable task alone.

    Loss: `CE(model(x), y)` over desirable samples.

    Args:
        recipe: how long and how fast to train.
    """

    defends: ClassVar[bool] = False

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend the cross-entropy of the desirable task."""
        data = tasks.desirable.train
        steps = self.recipe.steps(len(data))
        minimise(
            model,
            lambda batch, _: functional.cross_entropy(model(batch[0]), batch[1]),
            self.recipe.batches(data, steps, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="Plain",
            changes=(),
        )
