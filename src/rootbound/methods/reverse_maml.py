"""Reverse MAML: weights from which the desirable task is learned fast and the other one is not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.core.fields import NonNegativeFloat, PositiveFloat, PositiveInt, Range
from rootbound.data import Batch
from rootbound.methods.base import LossMethod
from rootbound.methods.shared.unrolled import Unrolled
from rootbound.networks import Classifier
from rootbound.training import Recipe


@dataclass(frozen=True)
class ReverseMAML(LossMethod):
    """Second-order MAML that descends the desirable loss and ascends the undesirable one.

    Loss: `CE_d(theta) + CE_d(theta - sum grad CE_d) - weight * min(CE_u(theta - sum grad CE_u),
    log C)`: each task takes `inner_steps` of gradient descent from `theta` on one half of its
    batch, and the loss is taken on the other half.

    Paper: R. Yang, E. Seeyave, "Transfer-resistant model training", MIT 6.s898 deep-learning
    blog, 2023 (no equation numbers), after C. Finn et al., "Model-Agnostic Meta-Learning for
    Fast Adaptation of Deep Networks", ICML 2017, https://arxiv.org/abs/1703.03400, Eq. 1.
    Differs from the paper: the first term is new, since the network is used without adapting it.
    The undesirable task has a fresh head in each step. Its loss counts up to that of chance,
    `log C`, unless `capped` is off; C counts the classes up to the last one in the batch. There is
    one task of either kind instead of many.

    Args:
        recipe: How long and how fast to train.
        undesirable_batch_size: Undesirable samples in a step, at least 2.
        inner_steps: Steps of adaptation.
        inner_rate: Learning rate of adaptation.
        weight: Weight of the ascent.
        capped: Whether the undesirable loss counts up to `log C` only.

    Raises:
        InputError: A value is out of range.
    """

    recipe: Recipe = Recipe(learning_rate=1e-2)
    undesirable_batch_size: Annotated[int, Range(at_least=2)] = 64
    inner_steps: PositiveInt = 3
    inner_rate: PositiveFloat = 0.1
    weight: NonNegativeFloat = 0.1
    capped: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recipe.batch_size < 2:
            raise InputError(
                "recipe.batch_size of at least 2", str(self.recipe.batch_size), "raise it"
            )

    def loss(
        self, model: Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        """Return the desirable losses less the weighted undesirable one."""
        head = nn.Linear(model.head.in_features, int(undesirable[1].max()) + 1)
        gained = self._adapt_and_evaluate(Classifier(model.backbone, head), undesirable)
        if self.capped:
            gained = gained.clamp(max=math.log(head.out_features))
        task = functional.cross_entropy(model(desirable[0]), desirable[1])
        return task + self._adapt_and_evaluate(model, desirable) - self.weight * gained

    def _adapt_and_evaluate(self, network: Classifier, batch: Batch) -> Tensor:
        """Return the loss on every other sample after learning from the rest."""
        (inputs, labels), learner = batch, Unrolled(network)
        support = [(inputs[::2], labels[::2])] * self.inner_steps
        *_, (weights, _) = learner.descend(support, self.inner_rate)
        return functional.cross_entropy(learner(weights, inputs[1::2]), labels[1::2])
