"""The last layer, retrained as a practitioner does it; all trials in one matrix product."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from rootbound.attacks.base import Snapshot, StackedAttack
from rootbound.attacks.budget import Attacker
from rootbound.attacks.probes.probe import Probe
from rootbound.core.fields import PositiveFloat, PositiveInt
from rootbound.networks import Classifier
from rootbound.records import PRACTICAL


@dataclass(frozen=True)
class LastLayer(Probe, StackedAttack):
    """Train a new last layer on frozen features by SGD with momentum or by Adam.

    Loss: multinomial cross-entropy of `features @ W + b`. The gradient of T heads is two
    matrix products, `features @ [W_1 … W_T]` and its transpose.

    Args:
        optimiser: `sgd` (momentum 0.9), `adam` (0.9, 0.999), or `adamw` (decay 1e-4).
        learning_rate: The learning rate; it is constant.
        batch_size: Samples in a step, shared by the trials that are trained together.
        unit: Unit of the learning rate: `absolute`; or `curvature` for multiples of one over the
            largest eigenvalue of the features' second moments, so that their scale hides nothing.
            In this unit descent diverges above about 4 with momentum.
    """

    optimiser: Literal["sgd", "adam", "adamw"] = "adam"
    learning_rate: PositiveFloat = 1e-3
    batch_size: PositiveInt = 256
    unit: Literal["absolute", "curvature"] = "absolute"

    @property
    def family(self) -> str:
        """What is retrained, or where the network is read."""
        return PRACTICAL if self.reading.is_last else super().family

    @property
    def bundle(self) -> Hashable:
        """Trials that differ in the learning rate alone are trained together."""
        return type(self), self.optimiser, self.batch_size, self.unit, self.reading

    @classmethod
    def transfer_together(
        cls, trials: Sequence[LastLayer], model: Classifier, attacker: Attacker
    ) -> Iterator[Snapshot]:
        """Yield the heads after every step."""
        first = trials[0]
        heads = StackedHeads(model.head, len(trials))
        rates = torch.tensor([trial.learning_rate for trial in trials]).view(1, -1, 1)
        if first.unit == "curvature":
            rates = rates / _find_largest_curvature(attacker.train.inputs)
        update = _Momentum(rates) if first.optimiser == "sgd" else _Adam(rates)
        decay = 1 - 1e-4 * rates if first.optimiser == "adamw" else None
        for step, (features, labels) in enumerate(attacker.batches(first.batch_size), start=1):
            change = update(heads.gradient(features, labels))
            if decay is not None:
                heads.weights *= decay
            heads.weights -= change
            yield Snapshot(step, heads)


def _find_largest_curvature(features: Tensor) -> float:
    """Return the largest eigenvalue of the mean of `z z'`, the bias included, in float64."""
    sample = features[:: max(1, len(features) // 4096)].double()
    largest = torch.linalg.matrix_norm(sample, ord=2).square() / len(sample)
    return float(largest) + 1.0


class StackedHeads(nn.Module):
    """T linear heads on the same features: `(N, D)` to logits `(N, T, C)`.

    Weights are kept as `(C, T, D + 1)`, the bias last, and logits are computed with the
    samples last: sums over the few classes then run along memory, and the softmax costs a
    quarter of the matrix products instead of three times as much.

    Args:
        head: The starting weights of each of them.
        trials: T.
    """

    weights: Tensor

    def __init__(self, head: nn.Linear, trials: int) -> None:
        super().__init__()
        weights = torch.cat([head.weight.detach(), head.bias.detach().unsqueeze(1)], dim=1)
        self.register_buffer("weights", weights.unsqueeze(1).repeat(1, trials, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits `(N, T, C)`."""
        return self._logits(_with_bias(features)).permute(2, 1, 0)

    def gradient(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient `(C, T, D + 1)` of each head's mean cross-entropy."""
        inputs = _with_bias(features)
        residual = self._logits(inputs).softmax(dim=0)
        residual[labels, :, torch.arange(len(labels))] -= 1.0
        gradient = residual.view(-1, len(inputs)) @ inputs
        return gradient.view_as(self.weights).div_(len(inputs))

    def _logits(self, inputs: Tensor) -> Tensor:
        """Return logits `(C, T, N)`."""
        classes, trials, width = self.weights.shape
        return (self.weights.view(-1, width) @ inputs.T).view(classes, trials, len(inputs))


def _with_bias(features: Tensor) -> Tensor:
    return torch.cat([features, features.new_ones(len(features), 1)], dim=1)


class _Momentum:
    def __init__(self, rates: Tensor) -> None:
        self.rates = rates
        self.velocity: Tensor | None = None

    def __call__(self, gradient: Tensor) -> Tensor:
        if self.velocity is None:
            self.velocity = gradient
        else:
            self.velocity.mul_(0.9).add_(gradient)
        return self.rates * self.velocity


class _Adam:
    def __init__(self, rates: Tensor) -> None:
        self.rates = rates
        self.first: Tensor | None = None
        self.second: Tensor | None = None
        self.step = 0

    def __call__(self, gradient: Tensor) -> Tensor:
        if self.first is None or self.second is None:
            self.first, self.second = torch.zeros_like(gradient), torch.zeros_like(gradient)
        self.step += 1
        self.first.lerp_(gradient, 0.1)
        self.second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        spread = (self.second / (1 - 0.999**self.step)).sqrt_().add_(1e-8)
        return self.rates * (self.first / (1 - 0.9**self.step)).div_(spread)
