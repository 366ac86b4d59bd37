"""Closed-form best response: leave the optimal new last layer nothing to read."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks import Attack, ExactLastLayer, Repaired
from rootbound.attacks.repairs import LeakyActivations, SeparateClasses
from rootbound.data import Batch
from rootbound.errors import InputError
from rootbound.explained_variance import explained_variance
from rootbound.methods.base import LossMethod, pairs
from rootbound.methods.parts.price import Price
from rootbound.methods.parts.roll_back import held_aside
from rootbound.models import Classifier
from rootbound.models.activations import activations, with_last_activated
from rootbound.models.pooling import is_masked, pooled
from rootbound.tasks import TaskPair
from rootbound.training import Recipe, minimise

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BestResponse(LossMethod):
    """Train against the attacker's best linear head, which has a closed form.

    Loss: `CE(desirable) + w(progress) * (R2(h) + before * R2(z) + depth_weight * sum_l R2(P h_l))`
    with `R2 = tr(C' (S + e I)^-1 C) / tr(Var Y)`, where over an undesirable batch `S (D, D)` is
    the covariance of the features, `C (D, K)` their covariance with the one-hot labels `Y`,
    and `e = ridge * tr(S) / D`; h are the last features, z what their activation was given.
    R2 is the share of the labels' variance that the optimal ridge head explains, from 0
    (nothing to learn) to 1. Its gradient is exact, because the inner problem is solved and
    differentiated, not simulated by steps of some optimiser; and R2 does not change when
    features are rescaled or mixed by an invertible map, so that bad conditioning earns nothing.

    Three parts are for attackers who do more than replace the last layer. The same term on z:
    without it the cheapest way to say nothing is to be dead, and a linear head before the
    activation, or a leaky one in its place, reads everything. The same term on the outputs
    `h_l` of the blocks before, each through a fresh random projection `P` in every step, so
    that few samples see all of a wide layer in the long run. And the first blocks keep the
    weights they start from: where those are random, they are worth what random ones are worth.

    Paper: none; ours. R2 is the Pillai trace of discriminant analysis (K. Pillai, "Some new
    test criteria in multivariate analysis", 1955) with a ridge.

    Args:
        recipe: how long and how fast to train.
        undesirable_batch_size: undesirable samples a step; more than `D` is best.
        weight: final w, at least 0.
        before: weight of the same before the last activation, relative to after it, at least 0.
        depth_weight: of the blocks before the last, relative to the last, at least 0.
        projection: dimensions that those blocks are projected to.
        fixed_blocks: first blocks that are not trained; at least one block always is.
        ridge: relative to the mean variance of the features, above 0.
        warm_in: share of training over which w rises from 0, in [0, 1].
        max_desirable_drop: points of desirable accuracy that may be lost, above 0; then w is
            found along the way, from `weight` on, against a twin trained without the terms on
            the same batches, by a thirtieth of the samples that neither learns from. Training
            takes as much longer as training without intervention takes.

    Raises:
        InputError: a value is out of range.
    """

    recipe: Recipe = Recipe(learning_rate=1e-2)
    undesirable_batch_size: int = 192
    weight: float = 0.2
    before: float = 0.5
    depth_weight: float = 0.6
    projection: int = 128
    fixed_blocks: int = 1
    ridge: float = 1e-3
    warm_in: float = 0.5
    max_desirable_drop: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = 0 < self.ridge < math.inf and self.projection > 0
        weights = (self.weight, self.before, self.depth_weight, self.fixed_blocks)
        if not positive or not all(0 <= value < math.inf for value in weights):
            raise InputError(
                "weights and fixed_blocks of at least 0, ridge and projection above 0",
                repr(self),
                "correct the value",
            )
        if not 0 <= self.warm_in <= 1:
            raise InputError("warm_in in [0, 1]", str(self.warm_in), "correct the value")
        drop = self.max_desirable_drop
        if drop is not None and not (0 < drop < math.inf and self.weight > 0):
            raise InputError(
                "max_desirable_drop and weight above 0", f"{drop} and {self.weight}", "raise it"
            )

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend the loss, with the weight as it is or as its price allows."""
        if self.max_desirable_drop is None:
            super().train(model, tasks, generator)
            return
        samples = tasks.desirable.train
        held, rest = held_aside(samples, max(1, len(samples) // 30), generator)
        tasks = replace(tasks, desirable=replace(tasks.desirable, train=rest))
        price = Price(model, held, self.max_desirable_drop, self.weight, self.warm_in)
        steps = self.recipe.steps(len(rest))

        def loss(pair: tuple[Batch, Batch], progress: float) -> Tensor:
            defended = replace(self, weight=price.at(progress)).loss(model, *pair, progress)
            (inputs, labels), _ = pair
            return defended + functional.cross_entropy(price.twin(inputs), labels)

        minimise(
            nn.ModuleList([model, price.twin]),
            loss,
            pairs(self.recipe, tasks, steps, self.undesirable_batch_size, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title=type(self).__name__,
        )
        log.info("weight %.3g, for %.2f points on held-out samples", price.weight, price.lost or 0)

    def adaptive_attacks(self) -> tuple[Attack, ...]:
        """Return the attack that revives dead units, then climbs what this method descends."""
        climb = Repaired(SeparateClasses(steps=40), ExactLastLayer(1e-2, "standardised"))
        return (Repaired(LeakyActivations(), climb),)

    def loss(
        self, model: Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        """Return the desirable cross-entropy plus the weighted explained variances."""
        (inputs, wanted), (others, labels) = desirable, undesirable
        blocks, count = model.blocks, len(wanted)
        fixed = min(self.fixed_blocks, len(blocks) - 1)
        outputs, explained = torch.cat([inputs, others]), torch.zeros(())
        for position, block in enumerate(blocks[:-1]):
            with torch.set_grad_enabled(position >= fixed):
                outputs = block(outputs)
            if position >= fixed and self.depth_weight:
                hidden = outputs[count:]
                # Of texts, what attackers average: places have no meaning of their own there.
                hidden = self._projected(pooled(block, hidden) if is_masked(block) else hidden)
                value = explained_variance(hidden, labels, self.ridge)
                explained = explained + self.depth_weight * value
        features, given = with_last_activated(blocks[-1], outputs)
        explained = explained + explained_variance(features[count:], labels, self.ridge)
        if self.before and activations(blocks[-1]):
            value = explained_variance(self._projected(given[count:]), labels, self.ridge)
            explained = explained + self.before * value
        weight = self.weight * min(1.0, progress / self.warm_in) if self.warm_in else self.weight
        task = functional.cross_entropy(model.head(features[:count]), wanted)
        return task + weight * explained

    def _projected(self, outputs: Tensor) -> Tensor:
        flat = outputs.flatten(1)
        if flat.shape[1] <= self.projection:
            return flat
        # Uniform entries serve as well as normal ones and are four times cheaper to draw.
        random = torch.rand(flat.shape[1], self.projection, device=flat.device) - 0.5
        projected: Tensor = flat @ random
        return projected
