"""BestResponse that reads other outputs or other samples: what was tried beside the method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from rootbound.core.devices import random_stream
from rootbound.data import Augmentation, Batch, TaskPair
from rootbound.methods import BestResponse
from rootbound.methods.best_response import BATCHES
from rootbound.methods.parts.blocks import passed_on
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import pool_outputs
from rootbound.networks.layers import freeze_running_statistics
from rootbound.training.explained_variance import explained_variance


@dataclass(frozen=True)
class BothAugmented(BestResponse):
    """Undesirable images are changed at random, too, so that fewer of them are known by heart.

    Args:
        undesirable: how; as the desirable ones if left out.
    """

    undesirable: Augmentation | None = None

    def loss(
        self, model: Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        """Return the loss of changed images."""
        inputs, labels = undesirable
        augmentation = self.undesirable or self.recipe.augmentation
        stream = random_stream(int(torch.randint(2**31, ())))
        changed = augmentation(inputs, stream), labels
        return super().loss(model, desirable, changed, progress)


@dataclass(frozen=True)
class RandomReadout(BestResponse):
    """R2 of what a random layer makes of a block's outputs, as whoever fine-tunes begins with.

    Args:
        channels: of the random layer, a convolution where there are maps; drawn in every step.
    """

    channels: int = 64

    def _explained(
        self, model: Classifier, position: int, outputs: Tensor, labels: Tensor
    ) -> Tensor:
        """Return R2 after the random layer and ReLU."""
        outputs = functional.relu(self._mixed(outputs))
        return super()._explained(model, position, outputs, labels)

    def _mixed(self, outputs: Tensor) -> Tensor:
        """Return a random layer's outputs, of outputs that are standardised for it."""
        axes, width = [0, *range(2, outputs.dim())], outputs.shape[1]
        spread = outputs.std(axes, keepdim=True).detach() + 1e-6
        standard = (outputs - outputs.mean(axes, keepdim=True).detach()) / spread
        if outputs.dim() == 2:
            flat: Tensor = standard @ torch.randn(width, 4 * self.channels) / width**0.5
            return flat
        kernel = torch.randn(self.channels, width, 3, 3) / (9 * width) ** 0.5
        mixed: Tensor = functional.conv2d(standard, kernel, stride=2, padding=1)
        return mixed


@dataclass(frozen=True)
class JointlyRead(BestResponse):
    """A further term: R2 of all blocks before the last at once, above that of random weights.

    Args:
        joint: its weight, relative to the last block's terms.
        joint_level: of random weights; measured before training if left out.
    """

    joint: float = 20.0
    joint_level: float | None = None

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Measure the level first."""
        if self.joint_level is not None:
            super().train(model, tasks, generator)
            return
        fresh = model.reinitialised(0).train()
        size = self.undesirable_batch_size
        with torch.no_grad():
            level = fmean(
                float(self._together(fresh, list(passed_on(fresh.blocks, inputs, 0)), labels))
                for inputs, labels in tasks.known_undesirable.batches(size, BATCHES, generator)
            )
        replace(self, joint_level=level).train(model, tasks, generator)

    def loss(
        self, model: Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        """Add the term; blocks are passed once more, which costs time and keeps this short."""
        found = super().loss(model, desirable, undesirable, progress)
        weight = self._weight(progress)
        if not weight:
            return found
        inputs, labels = undesirable
        kept = 1 if progress >= self.settled else 0
        with freeze_running_statistics(model):
            outputs = list(passed_on(model.blocks[:-1], inputs, kept))
        share = self._together(model, outputs, labels) - (self.joint_level or 0.0)
        return found + weight * self.joint * functional.relu(share)

    def _together(self, model: Classifier, outputs: Sequence[Tensor], labels: Tensor) -> Tensor:
        parts = [pool_outputs(*pair) for pair in zip(model.blocks, outputs, strict=False)]
        alike = [part / (part.detach().std() + 1e-6) for part in parts]
        return explained_variance(self._projected(torch.cat(alike, 1)), labels, self.ridge)


@dataclass(frozen=True)
class Attacked(BestResponse):
    """A further term: R2 after a short attack on all blocks, above that of random weights.

    The attacker draws the last blocks anew or keeps them, then climbs R2 of the last features by a
    few normalised steps on half of the batch, and is judged on the other half; the head is the
    optimal one at every step, so that only the blocks are simulated. Gradients are of first order:
    the attacker's change of the weights is a constant.

    Args:
        more: the term's weight, relative to the last block's terms.
        inner_steps: of the attacker.
        stride: of every step, relative to the norm of each parameter.
        redrawn: how many of the last blocks are drawn anew, one of these numbers in every step.
        attacked_level: R2 of random weights after the same attack; measured if left out.
    """

    more: float = 10.0
    inner_steps: int = 2
    stride: float = 0.05
    redrawn: tuple[int, ...] = (0, 3, 6)
    attacked_level: float | None = None

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Measure the level first."""
        if self.attacked_level is not None:
            super().train(model, tasks, generator)
            return
        fresh = model.reinitialised(0).train()
        batches = tasks.known_undesirable.batches(self.undesirable_batch_size, BATCHES, generator)
        level = fmean(float(self._attacked(fresh, *batch, 0).detach()) for batch in batches)
        replace(self, attacked_level=level).train(model, tasks, generator)

    def loss(
        self, model: Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        """Add the term; blocks are passed once more, which costs time and keeps this short."""
        found = super().loss(model, desirable, undesirable, progress)
        weight = self._weight(progress)
        if not weight:
            return found
        redrawn = self.redrawn[int(torch.randint(len(self.redrawn), ()))]
        with freeze_running_statistics(model):
            share = self._attacked(model, *undesirable, redrawn)
        return found + weight * self.more * functional.relu(share - (self.attacked_level or 0.0))

    def _attacked(self, model: Classifier, inputs: Tensor, labels: Tensor, redrawn: int) -> Tensor:
        """Return R2 after the attack, a function of the weights of the blocks that are kept."""
        kept = len(model.blocks) - redrawn
        fresh = model.reinitialised(int(torch.randint(2**31, ()))) if redrawn else model
        start: list[dict[str, Tensor]] = [
            dict((block if position < kept else other).named_parameters())
            for position, (block, other) in enumerate(zip(model.blocks, fresh.blocks, strict=True))
        ]
        half = len(labels) // 2
        change = self._climbed(model, start, inputs[:half], labels[:half])
        reached = [
            {name: (value if position < kept else value.detach()) + step[name]
             for name, value in values.items()}
            for position, (values, step) in enumerate(zip(start, change, strict=True))
        ]  # fmt: skip
        return self._share(model, reached, inputs[half:], labels[half:])

    def _climbed(
        self, model: Classifier, start: Sequence[dict[str, Tensor]], inputs: Tensor, labels: Tensor
    ) -> list[dict[str, Tensor]]:
        """Return by how much the attacker changes every parameter."""
        fast = [
            {name: one.detach().requires_grad_() for name, one in part.items()} for part in start
        ]
        for _ in range(self.inner_steps):
            leaves = [one for part in fast for one in part.values()]
            slopes = iter(torch.autograd.grad(self._share(model, fast, inputs, labels), leaves))
            fast = [
                {name: self._stepped(one, next(slopes)) for name, one in part.items()}
                for part in fast
            ]
        return [
            {name: (fast[position][name] - one).detach() for name, one in part.items()}
            for position, part in enumerate(start)
        ]

    def _stepped(self, value: Tensor, slope: Tensor) -> Tensor:
        """Return a parameter after one normalised step upwards."""
        length = value.norm().clamp_min(0.1 * math.sqrt(value.numel()))
        step = self.stride * length * slope / (slope.norm() + 1e-12)
        stepped: Tensor = (value + step).detach().requires_grad_()
        return stepped

    def _share(
        self, model: Classifier, values: Sequence[dict[str, Tensor]], inputs: Tensor, labels: Tensor
    ) -> Tensor:
        """Return R2 of the last features with these parameters."""
        for block, own in zip(model.blocks, values, strict=True):
            inputs = functional_call(block, own, (inputs,))
        share: Tensor = explained_variance(self._projected(inputs), labels, self.ridge)
        return share
