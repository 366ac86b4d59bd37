"""NTL: err on undesirable samples, and move their features away from desirable ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.core.fields import NonNegativeInt, PositiveFloat, PositiveInt, Range
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import Method
from rootbound.methods.shared.batches import draw_pairs
from rootbound.methods.shared.maximum_mean_discrepancy import maximum_mean_discrepancy
from rootbound.methods.shared.trained_heads import TrainedHeads
from rootbound.networks import Classifier
from rootbound.training import Recipe, minimise


@dataclass(frozen=True)
class NTL(Method):
    """Non-transferable learning, with the undesirable samples as the target domain.

    Loss: `L_S - min(beta, alpha * L_T * D)` with `D = min(distance_beta, distance_alpha * MMD)`,
    where `L_S` is the cross-entropy of desirable samples, `L_T` that of undesirable ones, and
    MMD the squared maximum mean discrepancy of their features under five Gaussian kernels. In
    the `code`, `L_S - min(beta, alpha * L_T) * D` with cross-entropies divided by the number
    of classes.

    Paper: L. Wang, S. Xu, R. Xu, X. Wang, Q. Zhu, "Non-Transferable Learning: A New Approach
    for Model Ownership Verification and Applicability Authorization", ICLR 2022,
    https://arxiv.org/abs/2106.06916, Eq. 3 to 5.
    Differs from the paper: the undesirable classes have a head of their own, which keeps learning;
    otherwise the method would only ruin a head that every attacker throws away. Features are those
    of the last block, or of one before; the code takes an early one in networks without
    BatchNorm. Adam under a one-cycle rate. The paper's alpha and distance_alpha are 0.1, beta
    and distance_beta 1; these are for pretrained networks.

    Args:
        recipe: How long and how fast to train.
        form: Form of the loss: the `paper`'s, or the `code`'s.
        undesirable_batch_size: Undesirable samples in a step, at least 2.
        alpha: Weight of the undesirable loss.
        beta: Upper bound of the second term; the code's is 1.
        distance_alpha: Weight of the MMD.
        distance_beta: Upper bound of the distance.
        depth: How many blocks before the last the MMD is taken; 0 for the last features.
        head_steps: Steps that the head takes before a step of the network.
        head_rate: Learning rate of the head.

    Raises:
        InputError: A value is out of range.
    """

    recipe: Recipe = Recipe(learning_rate=1e-2)
    form: Literal["paper", "code"] = "paper"
    undesirable_batch_size: Annotated[int, Range(at_least=2)] = 128
    alpha: PositiveFloat = 0.1
    beta: PositiveFloat = 1.0
    distance_alpha: PositiveFloat = 1.0
    distance_beta: PositiveFloat = 1.0
    depth: NonNegativeInt = 0
    head_steps: PositiveInt = 5
    head_rate: PositiveFloat = 1e-2

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend the loss on fresh pairs of batches, and train the head."""
        width, classes = model.head.in_features, len(tasks.undesirable.classes)
        heads = TrainedHeads([width], classes, self.head_rate)
        steps = self.recipe.steps(len(tasks.desirable.train))
        minimise(
            model,
            lambda pair, _: self.loss(model, heads, *pair),
            draw_pairs(self.recipe, tasks, steps, self.undesirable_batch_size, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="NTL",
            changes=[heads],
        )

    def loss(
        self, model: Classifier, heads: TrainedHeads, desirable: Batch, undesirable: Batch
    ) -> Tensor:
        """Return the loss of two batches, after the head has learned from one of them."""
        (inputs, wanted), (others, labels) = desirable, undesirable
        sizes = [len(wanted), len(labels)]
        blocks = model.blocks
        compared = max(0, len(blocks) - 1 - self.depth)
        outputs, distance = torch.cat([inputs, others]), torch.zeros(())
        for position, block in enumerate(blocks):
            outputs = block(outputs)
            if position == compared:
                distance = maximum_mean_discrepancy(*outputs.split(sizes))
        own, unwanted = outputs.split(sizes)
        heads.learn([unwanted], labels, self.head_steps)
        erring = heads.losses([unwanted], labels)[0]
        task = functional.cross_entropy(model.head(own), wanted)
        distance = (self.distance_alpha * distance).clamp_max(self.distance_beta)
        if self.form == "paper":
            return task - (self.alpha * erring * distance).clamp_max(self.beta)
        task, erring = task / model.classes, erring / heads.classes
        return task - (self.alpha * erring).clamp_max(self.beta) * distance
