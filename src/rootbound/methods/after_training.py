"""Methods that change a model which has already learned the desirable task."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import final

import torch

from rootbound.data import TaskPair
from rootbound.methods.base import Method
from rootbound.methods.plain import Plain
from rootbound.networks import Classifier


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
