"""A control: what features of any kind are worth, learned from data of neither task."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from rootbound.data import TaskPair
from rootbound.datasets import fitted, load
from rootbound.methods.base import Method
from rootbound.networks import Classifier
from rootbound.training import minimise


@dataclass(frozen=True)
class GenericFeatures(Method):
    """Learn features from a third, unrelated data set; then a last layer for the desirable task.

    Loss: `CE` of the third data set; then, features frozen, `CE(desirable)` over the head.
    What an attacker gains from such features is not the desirable task's doing, and no defence
    that keeps features of any kind can be asked to fall far below it. It is not in `METHODS`,
    because it needs to be told which data are unrelated.

    Args:
        recipe: how long and how fast to train, both times.
        data: name of the third data set, as `rootbound.datasets.load` takes it; its images are
            made to fit.

    Raises:
        InputError: there is no such data set, or its samples cannot be made to fit.
    """

    data: str = "mnist"

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Train the backbone on the third data set, then the head alone."""
        data = tasks.desirable.train
        other = fitted(load(self.data), data.shape)
        samples = other.train.to(data.labels.device)
        steps = self.recipe.steps(len(samples))
        head = nn.Linear(model.head.in_features, len(other.classes))
        minimise(
            nn.Sequential(model.backbone, head),
            lambda batch, _: functional.cross_entropy(head(model.features(batch[0])), batch[1]),
            self.recipe.batches(samples, steps, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title=f"{self.data}, unrelated",
            changes=(),
        )
        model.backbone.requires_grad_(False)
        steps = self.recipe.steps(len(data))
        minimise(
            model,
            lambda batch, _: functional.cross_entropy(model(batch[0]), batch[1]),
            self.recipe.batches(data, steps, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="its last layer",
            changes=(),
        )
