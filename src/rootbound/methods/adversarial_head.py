"""Adversarial heads: the features unlearn what the best of several trained heads can read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.core.fields import NonNegativeInt, PositiveFloat, PositiveInt
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import Method
from rootbound.methods.shared.batches import draw_pairs
from rootbound.methods.shared.trained_heads import TrainedHeads
from rootbound.networks import Classifier
from rootbound.training import Recipe, minimise


@dataclass(frozen=True)
class AdversarialHead(Method):
    """Reverse the gradient of the best of several heads that learn the undesirable task.

    Loss: `CE(desirable) - r * weight * min_k min(log C, CE(g_k(f(x)), y))` over undesirable
    samples, with `f` the features and C classes. Each head `g_k` descends its own
    cross-entropy, some steps before each step of the features. `r = 2 / (1 + exp(-10 p)) - 1`
    rises with the progress p from 0 to 1.

    Paper: Y. Ganin, V. Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML
    2015, https://arxiv.org/abs/1409.7495, Eq. 4 and the schedule of its experiments; to hide
    labels, and with several heads, Y. Elazar, Y. Goldberg, "Adversarial Removal of Demographic
    Attributes from Text Data", EMNLP 2018, https://arxiv.org/abs/1808.06640.
    Differs from the paper: heads take several steps of their own for each step of the features, and
    a loss above that of chance counts no more, unless `capped` is off.

    Args:
        recipe: How long and how fast to train.
        heads: Number of heads.
        hidden: Units of the hidden layer of each head; 0 makes the heads linear.
        head_steps: Steps that each head takes before a step of the features.
        head_rate: Learning rate of the heads.
        undesirable_batch_size: Undesirable samples in a step.
        weight: Final weight of the reversed gradient.
        capped: Whether the loss of a head counts up to `log C` only.

    Raises:
        InputError: A value is out of range.
    """

    recipe: Recipe = Recipe(learning_rate=1e-2)
    heads: PositiveInt = 3
    hidden: NonNegativeInt = 128
    head_steps: PositiveInt = 5
    head_rate: PositiveFloat = 2e-3
    undesirable_batch_size: PositiveInt = 128
    weight: PositiveFloat = 1.0
    capped: bool = True

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Let heads and features take turns."""
        classes = len(tasks.undesirable.classes)
        widths = [model.head.in_features] * self.heads
        heads = TrainedHeads(widths, classes, self.head_rate, self.hidden)
        steps = self.recipe.steps(len(tasks.desirable.train))
        minimise(
            model,
            lambda pair, progress: self.loss(model, heads, *pair, progress),
            draw_pairs(self.recipe, tasks, steps, self.undesirable_batch_size, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="AdversarialHead",
            changes=[heads],
        )

    def loss(
        self,
        model: Classifier,
        heads: TrainedHeads,
        desirable: Batch,
        undesirable: Batch,
        progress: float,
    ) -> Tensor:
        """Return the loss of two batches, after the heads have learned from one of them."""
        (inputs, wanted), (others, labels) = desirable, undesirable
        features = model.features(torch.cat([inputs, others]))
        own, unwanted = features.split([len(wanted), len(labels)])
        readings = [unwanted] * self.heads
        heads.learn(readings, labels, self.head_steps)
        best = heads.losses(readings, labels).min()
        if self.capped:
            best = best.clamp_max(math.log(heads.classes))
        reversal = self.weight * (2 / (1 + math.exp(-10 * progress)) - 1)
        return functional.cross_entropy(model.head(own), wanted) - reversal * best
