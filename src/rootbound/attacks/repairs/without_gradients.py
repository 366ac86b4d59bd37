"""Attacks without gradients: evolution of the weights, and reassigned outputs of the given head."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.base import Attack, Snapshot
from rootbound.attacks.budget import Attacker
from rootbound.core.errors import InputError
from rootbound.core.fields import NonNegativeInt, PositiveFloat, PositiveInt
from rootbound.data import Batch
from rootbound.networks import Classifier
from rootbound.records import Tier


@dataclass(frozen=True)
class GradientFree(Attack):
    """Train a fresh head and the last blocks by trying random changes of their weights.

    `g = mean_i (L(w + s e_i) - L(w - s e_i)) / 2s * e_i` over pairs of opposite changes, all
    on one batch, `e_i` normal; `w` then goes `rate` along `-g / |g|`, with momentum. Changes
    and steps are relative to the root mean square of each tensor, so that layers of all
    scales move alike. T. Salimans et al., "Evolution Strategies", 2017, section 2.1. Differs
    from the paper: the length of the step is fixed, and losses are used instead of ranks.

    Args:
        blocks: How many of the last blocks are changed besides the head.
        learning_rate: The learning rate at the start; it falls to 0 along half a cosine.
        pairs: Pairs of changes in a step; each costs two evaluations of the loss.
        spread: s.
        batch_size: Samples in a step.

    Raises:
        InputError: The number of blocks is negative.
    """

    tier: ClassVar[Tier] = "repair"

    blocks: NonNegativeInt = 1
    learning_rate: PositiveFloat = 0.3
    pairs: PositiveInt = 16
    spread: PositiveFloat = 0.1
    batch_size: PositiveInt = 256

    @property
    def loads_compiler(self) -> bool:
        """Whether it loads torch's compiler: never."""
        return False

    @property
    def family(self) -> str:
        """What is retrained."""
        return f"last {self.blocks + 1} layers, without gradients"

    def trained_blocks(self, model: Classifier) -> int:
        """Return the blocks before the head."""
        return self.blocks

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the model after every step."""
        weights = [parameter.data for parameter in model.parameters()]
        sizes = _measure_sizes(weights)
        momentum = [torch.zeros_like(weight) for weight in weights]
        for step, batch in enumerate(attacker.batches(self.batch_size), start=1):
            model.eval()
            slope = self._slope(model, weights, sizes, batch, attacker.generator)
            length = math.sqrt(sum(float(part.square().sum()) for part in slope))
            root_mean_square = length / math.sqrt(sum(part.numel() for part in slope))
            rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / attacker.steps))
            for weight, size, velocity, part in zip(weights, sizes, momentum, slope, strict=True):
                share = 1.0 if step == 1 else 0.1
                # If every change is as good as its opposite, there is no slope to follow.
                velocity.lerp_(part / (root_mean_square or 1.0), share)
                weight.sub_(velocity, alpha=rate * size)
            yield Snapshot(step, model)

    @torch.no_grad()
    def _slope(
        self,
        model: nn.Module,
        weights: Sequence[Tensor],
        sizes: Sequence[float],
        batch: Batch,
        generator: torch.Generator,
    ) -> list[Tensor]:
        """Return the estimated gradient with respect to relative changes; restore the weights."""
        start = [weight.clone() for weight in weights]
        slope = [torch.zeros_like(weight) for weight in weights]
        for _ in range(self.pairs):
            change = [torch.randn(weight.shape, generator=generator) for weight in weights]
            losses = []
            for sign in (1.0, -1.0):
                for weight, first, part, size in zip(weights, start, change, sizes, strict=True):
                    torch.add(first, part, alpha=sign * self.spread * size, out=weight)
                losses.append(float(functional.cross_entropy(model(batch[0]), batch[1])))
            rise = (losses[0] - losses[1]) / (2 * self.spread * self.pairs)
            if not math.isfinite(rise):
                continue  # a trap: its losses tell nothing about the slope
            for total, part in zip(slope, change, strict=True):
                total.add_(part, alpha=rise)
        for weight, first in zip(weights, start, strict=True):
            weight.copy_(first)
        return slope


def _measure_sizes(weights: Sequence[Tensor]) -> list[float]:
    """Return the root mean square of each tensor; for a tensor of zeros, the smallest of these."""
    sizes = [float(weight.double().square().mean().sqrt()) for weight in weights]
    smallest = min((size for size in sizes if size > 0), default=1.0)
    return [size or smallest for size in sizes]


@dataclass(frozen=True)
class ReassignHead(Attack):
    """Give each class one of the outputs of the given head, so that they fit the labels best.

    `max sum_c mean_{x in c} log softmax(given(x))[p(c)]` over assignments p of classes to
    different outputs (H. Kuhn, "The Hungarian Method", 1955). Nothing is trained: the network
    already knew what this attack finds. It works against heads with secretly permuted outputs.
    """

    tier: ClassVar[Tier] = "repair"

    @property
    def loads_compiler(self) -> bool:
        """Whether it loads torch's compiler: never."""
        return False

    @property
    def family(self) -> str:
        """What is changed."""
        return "outputs of the given head, reassigned"

    def trained_blocks(self, model: Classifier) -> int:
        """Return 0: the network is frozen."""
        return 0

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the best assignment, once.

        Raises:
            InputError: There is no given head with at least one output per class.
        """
        given_head = attacker.given_head
        if given_head is None or given_head.out_features < model.classes:
            raise InputError(
                f"a given head of at least {model.classes} outputs",
                "none" if given_head is None else str(given_head.out_features),
                "leave this attack out",
            )
        features, labels = attacker.train.batch(slice(None))
        with torch.no_grad():
            scores = functional.log_softmax(given_head(features).double(), dim=1)
            members = functional.one_hot(labels, model.classes).double()
            fit = members.T @ scores / members.sum(dim=0).clamp_min(1.0).unsqueeze(1)
            _, outputs = linear_sum_assignment(fit.cpu().numpy(), maximize=True)
            assigned = torch.from_numpy(outputs).to(labels.device)
            model.head.weight.copy_(given_head.weight[assigned])
            model.head.bias.copy_(given_head.bias[assigned] if given_head.bias is not None else 0.0)
        yield Snapshot(0, model)
