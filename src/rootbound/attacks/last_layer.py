"""The last layer, retrained as a practitioner does it; all trials in one matrix product."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from rootbound.attacks.base import Snapshot, StackedAttack
from rootbound.data import Data
from rootbound.models import Classifier
from rootbound.records import PRACTICAL


@dataclass(frozen=True)
class LastLayer(StackedAttack):
    """Train a new last layer on frozen features by SGD with momentum or by Adam.

    Loss: multinomial cross-entropy of `features @ W + b`. The gradient of T heads is two
    matrix products, `features @ [W_1 … W_T]` and its transpose.

    Args:
        optimiser: `sgd` (momentum 0.9) or `adam` (0.9, 0.999).
        learning_rate: constant, above 0.
        batch_size: samples a step, shared by the trials trained together.
    """

    optimiser: Literal["sgd", "adam"] = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 256

    @property
    def family(self) -> str:
        """What is retrained."""
        return PRACTICAL

    def trained_blocks(self, model: Classifier) -> int:
        """Return 0: the backbone is frozen."""
        return 0

    @property
    def bundle(self) -> Hashable:
        """Trials that differ in the learning rate alone are trained together."""
        return type(self), self.optimiser, self.batch_size

    @classmethod
    def transfer_together(
        cls,
        trials: Sequence[LastLayer],
        model: Classifier,
        train: Data,
        steps: int,
        generator: torch.Generator,
    ) -> Iterator[Snapshot]:
        """Yield the heads after every step."""
        heads = StackedHeads(model.head, len(trials))
        rates = torch.tensor([trial.learning_rate for trial in trials]).view(-1, 1, 1)
        update = _Momentum(rates) if trials[0].optimiser == "sgd" else _Adam(rates)
        batches = train.batches(trials[0].batch_size, steps, generator)
        for step, (features, labels) in enumerate(batches, start=1):
            heads.weights -= update(heads.gradient(features, labels))
            yield Snapshot(step, heads)


class StackedHeads(nn.Module):
    """T linear heads on the same features: `(N, D)` to logits `(N, T, C)`.

    Args:
        head: the starting weights of each of them.
        trials: T.
    """

    weights: Tensor

    def __init__(self, head: nn.Linear, trials: int) -> None:
        super().__init__()
        weights = torch.cat([head.weight.detach(), head.bias.detach().unsqueeze(1)], dim=1)
        self.register_buffer("weights", weights.repeat(trials, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits `(N, T, C)`."""
        trials, classes, width = self.weights.shape
        flat = self.weights.view(trials * classes, width)
        logits = torch.addmm(flat[:, -1], features, flat[:, :-1].T)
        return logits.view(len(features), trials, classes)

    def gradient(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient `(T, C, D + 1)` of each head's mean cross-entropy."""
        residual = self(features).softmax(dim=-1)
        residual[torch.arange(len(labels)), :, labels] -= 1.0
        flat = residual.view(len(labels), -1).T / len(labels)
        gradient = torch.cat([flat @ features, flat.sum(dim=1, keepdim=True)], dim=1)
        return gradient.view_as(self.weights)


class _Momentum:
    def __init__(self, rates: Tensor) -> None:
        self.rates = rates
        self.velocity: Tensor | float = 0.0

    def __call__(self, gradient: Tensor) -> Tensor:
        self.velocity = 0.9 * self.velocity + gradient
        return self.rates * self.velocity


class _Adam:
    def __init__(self, rates: Tensor) -> None:
        self.rates = rates
        self.first: Tensor | float = 0.0
        self.second: Tensor | float = 0.0
        self.step = 0

    def __call__(self, gradient: Tensor) -> Tensor:
        self.step += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient.square()
        spread = (self.second / (1 - 0.999**self.step)).sqrt() + 1e-8
        return self.rates * (self.first / (1 - 0.9**self.step)) / spread
