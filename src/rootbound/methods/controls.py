"""The controls: training without intervention, and features of an unrelated data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from rootbound.data import TaskPair
from rootbound.datasets import fitted, load
from rootbound.methods.base import Method, learn
from rootbound.networks import Classifier


@dataclass(frozen=True)
class Plain(Method):
    """Train on the desirable task alone.

    Loss: `CE(model(x), y)` over desirable samples.

    Args:
        recipe: How long and how fast to train.
    """

    defends: ClassVar[bool] = False

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend the cross-entropy of the desirable task."""
        learn(model, tasks.desirable.train, self.recipe, generator, title="Plain")


@dataclass(frozen=True)
class GenericFeatures(Method):
    """Learn features from a third, unrelated data set; then a last layer for the desirable task.

    Loss: `CE` of the third data set; then `CE(desirable)` over the head, with frozen features.
    What an attacker gains from such features does not come from the desirable task. So no defence
    that keeps useful features can be expected to do much better. It is not in `METHODS`, because
    you have to say which data are unrelated.

    Args:
        recipe: How long and how fast to train, in both stages.
        data: Name of the third data set, as `rootbound.datasets.load` takes it; its images are
            resized to those of the tasks.

    Raises:
        InputError: There is no such data set, or its samples cannot be made to fit.
    """

    data: str = "mnist"

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Train the backbone on the third data set, then the head alone."""
        desirable = tasks.desirable.train
        other = fitted(load(self.data), desirable.shape)
        samples = other.train.to(desirable.labels.device)
        reader = Classifier(model.backbone, nn.Linear(model.head.in_features, len(other.classes)))
        learn(reader, samples, self.recipe, generator, title=f"{self.data}, unrelated")
        model.backbone.requires_grad_(False)
        learn(model, desirable, self.recipe, generator, title="its last layer")
