"""Training on the desirable task first, as its owner would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.repair import Repair
from rootbound.data import Batch
from rootbound.networks import Classifier
from rootbound.training import minimise


@dataclass(frozen=True)
class TuneOnDesirable(Repair):
    """Go on training the given network on its own task, with noise on the inputs.

    A defence is a point in weight space that is good for the task and bad for others; few
    steps on the task alone lead away from it. Z. Hong et al., "Your Transferability Barrier
    is Fragile", 2024 (TransNTL). Differs from the paper: Gaussian noise only in place of many
    corruptions, no self-distillation, and Adam in place of sharpness-aware descent.

    Args:
        steps: of Adam under a one-cycle learning rate, besides the budget's.
        learning_rate: the peak, above 0.
        noise: relative to the deviation of each batch of inputs, at least 0; tokens have none.
        batch_size: samples a step.
    """

    needs: ClassVar[tuple[str, ...]] = ("desirable",)

    steps: int = 50
    learning_rate: float = 1e-3
    noise: float = 0.2
    batch_size: int = 128

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network, head included, after training."""
        assert attacker.desirable is not None  # it is needed
        generator = attacker.generator

        def loss(batch: Batch, _: float) -> Tensor:
            inputs, labels = batch
            if inputs.is_floating_point():
                noise = torch.randn(inputs.shape, generator=generator) * inputs.std()
                inputs = inputs + self.noise * noise
            return functional.cross_entropy(model(inputs), labels)

        batches = attacker.desirable.batches(self.batch_size, self.steps, generator)
        minimise(
            model,
            loss,
            batches,
            steps=self.steps,
            learning_rate=self.learning_rate,
            title=type(self).__name__,
        )
        return model
