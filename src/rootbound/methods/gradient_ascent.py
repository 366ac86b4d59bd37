"""Gradient ascent: raise the cross-entropy of undesirable samples, up to a limit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.core.fields import NonNegativeInt, PositiveFloat, PositiveInt
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import AfterTraining
from rootbound.methods.shared.batches import draw_pairs
from rootbound.methods.shared.trained_heads import TrainedHeads
from rootbound.networks import Classifier
from rootbound.training import minimise


@dataclass(frozen=True)
class GradientAscent(AfterTraining):
    """Ascend the cross-entropy of undesirable samples, and descend that of desirable ones.

    Loss: `CE(desirable) - weight * mean_i min(limit, CE(g(f(x_i)), y_i))` over undesirable
    samples, with `f` the features and `g` a head of the undesirable classes, fitted to the
    features before the ascent begins.

    Paper: most other papers have this as a baseline ("gradient ascent", "reverse cross-entropy");
    it is the method of J. Jang et al., "Knowledge Unlearning for Mitigating Privacy Risks in
    Language Models", ACL 2023, https://arxiv.org/abs/2210.01504, Eq. 1.
    Differs from the paper: the undesirable task has a head of its own, since its classes may be
    others. The limit is new, because the loss would have no lower bound without it. The head may
    keep learning (`along`), so that features have to change and not only fool one head.

    Args:
        recipe: How long and how fast to learn the desirable task; the defence takes batches of its
            size.
        steps: Steps of the defence.
        head_steps: Steps that the head takes before the defence.
        along: Steps that the head takes before each step of the defence.
        head_rate: Learning rate of the head.
        undesirable_batch_size: Undesirable samples in a step.
        weight: Weight of the ascent.
        limit: Cross-entropy above which a sample counts no more. 3 is about twice the loss of
            chance with 5 classes. With 10, the desirable accuracy was lower and a new last layer
            could read more.
        learning_rate: Peak learning rate of the defence.

    Raises:
        InputError: A value is out of range.
    """

    steps: PositiveInt = 500
    head_steps: PositiveInt = 200
    along: NonNegativeInt = 0
    head_rate: PositiveFloat = 1e-2
    undesirable_batch_size: PositiveInt = 128
    weight: PositiveFloat = 0.1
    limit: PositiveFloat = 3.0
    learning_rate: PositiveFloat = 1e-2

    def defend(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Fit a head to the features, then ascend its loss."""
        width, classes = model.head.in_features, len(tasks.undesirable.classes)
        heads = TrainedHeads([width], classes, self.head_rate)
        size = self.undesirable_batch_size
        known = tasks.known_undesirable.batches(size, self.head_steps, generator)
        heads.learn_all(lambda inputs: [model.features(inputs)], known)
        minimise(
            model,
            lambda pair, _: self.loss(model, heads, *pair),
            draw_pairs(self.recipe, tasks, self.steps, size, generator),
            steps=self.steps,
            learning_rate=self.learning_rate,
            title="GradientAscent",
            changes=[heads],
        )

    def loss(
        self, model: Classifier, heads: TrainedHeads, desirable: Batch, undesirable: Batch
    ) -> Tensor:
        """Return the loss of two batches, after the head has learned from one of them."""
        (inputs, wanted), (others, labels) = desirable, undesirable
        features = model.features(torch.cat([inputs, others]))
        own, unwanted = features.split([len(wanted), len(labels)])
        heads.learn([unwanted], labels, self.along)
        (head,) = heads.heads
        climbed = functional.cross_entropy(head(unwanted), labels, reduction="none")
        task = functional.cross_entropy(model.head(own), wanted)
        return task - self.weight * climbed.clamp_max(self.limit).mean()
