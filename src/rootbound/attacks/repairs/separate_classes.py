"""The mirror of a closed-form defence: learn features that a linear head can use."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.repair import Repair
from rootbound.data import Batch
from rootbound.networks import Classifier
from rootbound.training import minimise
from rootbound.training.explained_variance import explained_variance


@dataclass(frozen=True)
class SeparateClasses(Repair):
    """Train the backbone so that the optimal linear head explains as much as it can.

    Loss: `-R2(features)`, with `R2 = tr(C' (S + e I)^-1 C) / tr(Var Y)` over a batch (see
    `explained_variance`). It climbs what `BestResponse` descends, and needs no head of its own:
    the attack that knows that method.

    Args:
        steps: of Adam under a one-cycle learning rate, besides the budget's.
        learning_rate: the peak, above 0.
        batch_size: samples a step; all of them if fewer.
        ridge: relative to the mean variance of the features, above 0.
    """

    steps: int = 60
    learning_rate: float = 3e-3
    batch_size: int = 256
    ridge: float = 1e-2

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with another backbone and the head as it was."""

        def loss(batch: Batch, _: float) -> Tensor:
            return -explained_variance(model.features(batch[0]).flatten(1), batch[1], self.ridge)

        batches = attacker.train.batches(self.batch_size, self.steps, attacker.generator)
        minimise(
            model.backbone,
            loss,
            batches,
            steps=self.steps,
            learning_rate=self.learning_rate,
            title=type(self).__name__,
        )
        return model
