"""A control: published weights as they are, below a new last layer."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import cross_entropy

import rootbound as rb
from rootbound.training import minimise


@dataclass(frozen=True)
class Published(rb.Method):
    """The published weights as they are, below a new last layer: what anybody can begin with."""

    defends: ClassVar[bool] = False

    def train(self, model: rb.Classifier, tasks: rb.TaskPair, generator: torch.Generator) -> None:
        model.backbone.requires_grad_(False).eval()
        steps = self.recipe.steps(len(tasks.desirable.train))
        minimise(
            model,
            lambda batch, _: cross_entropy(model(batch[0]), batch[1]),
            self.recipe.batches(tasks.desirable.train, steps, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
        )
