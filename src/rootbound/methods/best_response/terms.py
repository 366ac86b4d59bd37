"""The terms that an undesirable batch adds to the loss: what the best linear head would read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.fields import NonNegativeFloat, PositiveFloat, PositiveInt, check
from rootbound.data import Batch
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import pool_outputs
from rootbound.networks.layers import find_activations, run_with_preactivation
from rootbound.training.explained_variance import explained_variance, linear_information


@dataclass(frozen=True)
class Terms:
    """The terms of `BestResponse`, with their weights relative to that of the last features.

    `I(h) + before_activation * I(z) + sum_l w_l relu(R2(P h_l) - r_l)`, in the symbols of
    `BestResponse`.

    Args:
        before_activation: Weight of the term before the last activation, `I(z)`.
        first_weight: Weight of the first block's term.
        depth_weight: Weight of the terms of the blocks between the first and the last.
        spared: A block may explain this share of what random weights explain, beyond chance, at no
            cost; with 0, everything that it explains counts.
        projection: Dimensions that wider outputs are projected to.
        ridge: The ridge of the attacker's regression, relative to the mean variance of the
            features.

    Raises:
        InputError: A value is out of range.
    """

    before_activation: NonNegativeFloat = 0.5
    first_weight: NonNegativeFloat = 20.0
    depth_weight: NonNegativeFloat = 2.0
    spared: NonNegativeFloat = 1.0
    projection: PositiveInt = 128
    ridge: PositiveFloat = 1e-3

    def __post_init__(self) -> None:
        check(self)

    def __call__(
        self,
        blocks: Sequence[nn.Module],
        inputs: Tensor,
        labels: Tensor,
        frozen: int,
        levels: Sequence[float],
    ) -> Tensor:
        """Return the sum of all terms of an undesirable batch.

        Args:
            blocks: The blocks of the network, in order.
            inputs: `(N, *shape)`.
            labels: `(N,)`.
            frozen: How many of the first blocks have no gradients and no terms.
            levels: `r_l` of each block but the last; empty if all are 0.
        """
        explained, outputs = torch.zeros(()), inputs
        for position, outputs in enumerate(block_outputs(blocks[:-1], inputs, frozen)):
            weight = self.depth_weight if position else self.first_weight
            if weight and position >= frozen:
                share = self.explained(blocks[position], outputs, labels)
                level = levels[position] if levels else 0.0
                explained = explained + weight * functional.relu(share - level)
        return explained + self.of_last(blocks[-1], outputs, labels)

    def of_last(self, block: nn.Module, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return `I(h) + before_activation * I(z)` for the last block.

        Args:
            block: The last block.
            outputs: Outputs of the block before.
            labels: `(N,)`.
        """
        features, before = run_with_preactivation(block, outputs)
        information = linear_information(self._project(features), labels, self.ridge)
        if self.before_activation and find_activations(block):
            more = linear_information(self._project(before), labels, self.ridge)
            information = information + self.before_activation * more
        return information

    def explained(self, block: nn.Module, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return `R2(P h)` of a block's outputs."""
        return explained_variance(self._project(pool_outputs(block, outputs)), labels, self.ridge)

    def random_levels(
        self, model: Classifier, batches: Iterable[Batch], generator: torch.Generator
    ) -> tuple[float, ...]:
        """Return `r_l = c + spared * (r - c)` of each block but the last.

        r is R2 with random weights. c is R2 with random weights and shuffled labels: it is not 0,
        because in a small batch even meaningless outputs explain something. Both are means over
        the batches.

        Args:
            model: The model to train; a copy with new random weights is used.
            batches: Undesirable batches of the same size as in training.
            generator: Shuffles the labels.

        Raises:
            InputError: Weights of the model cannot be drawn anew.
        """
        fresh = model.reinitialised(0).train()
        blocks = fresh.blocks[:-1]
        measured: list[list[tuple[float, float]]] = [[] for _ in blocks]
        with torch.no_grad():
            for inputs, labels in batches:
                order = torch.randperm(len(labels), generator=generator, device=generator.device)
                others = labels[order.to(labels.device)]
                outputs = block_outputs(blocks, inputs)
                for block, output, pairs in zip(blocks, outputs, measured, strict=True):
                    chance = float(self.explained(block, output, others))
                    pairs.append((chance, float(self.explained(block, output, labels))))
        levels = []
        for pairs in measured:
            chance, share = map(fmean, zip(*pairs, strict=True))
            levels.append(chance + self.spared * (share - chance))
        return tuple(levels)

    def _project(self, outputs: Tensor) -> Tensor:
        """Return outputs `(N, D)`, projected by a fresh random matrix if D is too large."""
        flat = outputs.flatten(1)
        if flat.shape[1] <= self.projection:
            return flat
        # Uniform entries serve as well as normal ones and are four times cheaper to draw.
        random = torch.rand(flat.shape[1], self.projection, device=flat.device) - 0.5
        projected: Tensor = flat @ random.to(flat.dtype)
        return projected


def block_outputs(blocks: Sequence[nn.Module], inputs: Tensor, frozen: int = 0) -> Iterator[Tensor]:
    """Yield the outputs of each block for a batch.

    Args:
        blocks: Blocks in order.
        inputs: `(N, *shape)`.
        frozen: How many of the first blocks have no gradients.
    """
    for position, block in enumerate(blocks):
        with torch.set_grad_enabled(position >= frozen):
            inputs = block(inputs)
        yield inputs
