"""The control, training without intervention; and methods that begin where it ends."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

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


@dataclass(frozen=True)
class AfterTraining(Method):
    """A method that begins where `Plain` ends; its author writes `defend`.

    Args:
        recipe: of learning the desirable task, before the defence begins.
    """

    @final
    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Learn the desirable task without intervention, then defend what was learned."""
        Plain(self.recipe).train(model, tasks, generator)
        self.defend(model, tasks, generator)

    @abstractmethod
    def defend(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Change the trained model in place, drawing samples with the generator."""
