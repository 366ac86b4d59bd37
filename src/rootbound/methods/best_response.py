"""Closed-form best response: leave the optimal new last layer nothing to read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks import Attack, ExactLastLayer, Repaired
from rootbound.attacks.repairs import LeakyActivations, SeparateClasses
from rootbound.core.errors import InputError
from rootbound.core.fields import (
    Finite,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Share,
)
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import LossMethod, pairs
from rootbound.methods.parts.blocks import passed_on, random_shares
from rootbound.methods.parts.finish import finish
from rootbound.methods.parts.price import Price
from rootbound.methods.parts.roll_back import held_aside
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import pool_outputs
from rootbound.networks.layers import (
    find_activations,
    freeze_running_statistics,
    run_with_preactivation,
)
from rootbound.training import Recipe, minimise
from rootbound.training.explained_variance import explained_variance, linear_information

log = logging.getLogger(__name__)

BATCHES = 8
"""On so many undesirable batches it is measured what random weights explain."""


@dataclass(frozen=True)
class BestResponse(LossMethod):
    """Train against the attacker's best linear head, which has a closed form.

    Loss: `CE(desirable) + w(progress) * (I(h) + before * I(z) + sum_l w_l relu(R2(P h_l) - r_l))`.
    Over an undesirable batch, `S (D, D)` is the covariance of the features, `C (D, K)` their
    covariance with the one-hot labels `Y` of covariance T, `E = C' (S + e I)^-1 C` what the
    optimal ridge head explains of T, and `e = ridge * tr(S) / D`. `I = -log det(1 - E / T)` per
    degree of freedom is the information it gets, in nats, and `R2 = tr(E) / tr(T)` the share it
    explains; h are the last features, z what their activation was given. The gradients are
    exact, because the inner problem is solved and differentiated, not simulated by steps of some
    optimiser; and neither changes when features are rescaled or mixed by an invertible map, so
    that bad conditioning earns nothing. R2 has no gradient where a class is told apart already;
    I has, and is used where nothing is to be left.

    Three parts are for attackers who do more than replace the last layer. The same term on z:
    without it the cheapest way to say nothing is to be dead, and a linear head before the
    activation, or a leaky one in its place, reads everything. R2 of the outputs `h_l` of the
    blocks before, averaged over places as a probe reads them, each through a fresh random
    projection `P` in every step, so that few samples see all of a wide layer in the long run; and
    of those only what is above `r_l`, which is what the block explains with random weights:
    whoever starts from scratch has as much.
    And the first block weighs most (`first_weight`, the others `depth_weight`): it is what is
    easiest to keep when all above it is drawn anew. Once `settled` it is left as it is: training
    all of a network on undesirable samples to the end takes half as long again, and gives no more.

    Undesirable samples are passed on by themselves, so that BatchNorm scales them as it does
    when somebody fine-tunes; what it remembers for evaluation is the desirable task's.

    A batch flatters the attacker, by `D / (N - 1)` of R2. So the last steps are taken by the
    last block alone, whose inputs are computed once, on far larger batches.

    Paper: none; ours. R2 is the Pillai trace of discriminant analysis (K. Pillai, "Some new
    test criteria in multivariate analysis", 1955) with a ridge, I comes from Wilks' lambda (1932).

    Args:
        recipe: how long and how fast to train.
        undesirable_batch_size: undesirable samples a step; more than `projection` is best.
        weight: final w, at least 0.
        before: weight of the same before the last activation, relative to after it, at least 0.
        first_weight: of the first block, relative to the last, at least 0.
        depth_weight: of the blocks between first and last, relative to the last, at least 0.
        spared: share of what blocks before the last explain with random weights, beyond chance,
            that costs nothing, at least 0; with 0 no `r_l` is taken off at all.
        projection: dimensions that wider outputs are projected to.
        settled: share of training after which the first block stays as it is, in [0, 1].
        ridge: relative to the mean variance of the features, above 0.
        wait: share of training before the terms come in, in [0, 1]; no undesirable sample is
            learned from until then.
        warm_in: share of training over which w then rises from 0, in [0, 1].
        finishing_steps: steps of the last block alone, at the end, if there are other blocks.
        finishing_batch_size: undesirable samples in each of them.
        finishing_weight: of the terms there, relative to w, at least 0.
        levels: what is spared of each block, from the first to the last but one, in place of
            `spared` times what some batches show of random weights.
        max_desirable_drop: points of desirable accuracy that may be lost, above 0; then w is
            found along the way, from `weight` on, against a twin trained without the terms on
            the same batches, by a thirtieth of the samples that neither learns from. Training
            takes as much longer as training without intervention takes.

    Raises:
        InputError: a value is out of range; in training, a number of levels that does not fit.
    """

    recipe: Recipe = Recipe(learning_rate=1e-2)
    undesirable_batch_size: PositiveInt = 256
    weight: NonNegativeFloat = 0.15
    before: NonNegativeFloat = 0.5
    first_weight: NonNegativeFloat = 20.0
    depth_weight: NonNegativeFloat = 2.0
    spared: NonNegativeFloat = 1.0
    projection: PositiveInt = 128
    settled: Share = 0.6
    ridge: PositiveFloat = 1e-3
    wait: Share = 0.4
    warm_in: Share = 0.1
    finishing_steps: NonNegativeInt = 100
    finishing_batch_size: PositiveInt = 1024
    finishing_weight: NonNegativeFloat = 10.0
    levels: tuple[Finite, ...] | None = None
    max_desirable_drop: PositiveFloat | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_desirable_drop is not None and self.weight == 0:
            raise InputError("weight above 0 for max_desirable_drop", "0", "raise it")

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend the loss, with the weight as it is or as its price allows."""
        if self.levels is None:
            self._with_levels(model, tasks, generator).train(model, tasks, generator)
            return
        if self.levels and len(self.levels) != (blocks := len(model.blocks) - 1):
            raise InputError(
                f"a level for each of {blocks} blocks before the last", str(len(self.levels)),
                "correct the list, or leave it out",
            )  # fmt: skip
        if self.max_desirable_drop is None:
            super().train(model, tasks, generator)
            self._finish(model, tasks, generator)
        else:
            self._train_at_a_price(self.max_desirable_drop, model, tasks, generator)

    def _with_levels(
        self, model: Classifier, tasks: TaskPair, generator: torch.Generator
    ) -> BestResponse:
        read = len(model.blocks) > 1 and (self.first_weight or self.depth_weight)
        if not (read and self.weight and self.spared):
            return replace(self, levels=())
        levels = self.random_levels(model, tasks, generator)
        log.debug("spared of blocks before the last: %s", ", ".join(f"{one:.3f}" for one in levels))
        return replace(self, levels=levels)

    def _train_at_a_price(
        self, allowed: float, model: Classifier, tasks: TaskPair, generator: torch.Generator
    ) -> None:
        samples = tasks.desirable.train
        held, rest = held_aside(samples, max(1, len(samples) // 30), generator)
        tasks = replace(tasks, desirable=replace(tasks.desirable, train=rest))
        start = min(1.0, self.wait + self.warm_in)
        price = Price(model, held, allowed, self.weight, start)
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
            changes=[price],
        )
        replace(self, weight=price.weight)._finish(model, tasks, generator)
        log.info("weight %.3g, for %.2f points on held-out samples", price.weight, price.lost or 0)

    def _finish(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        weight = self.weight * self.finishing_weight
        if not weight:
            return

        def loss(own: Tensor, wanted: Tensor, others: Tensor, labels: Tensor) -> Tensor:
            block = model.blocks[-1]
            task = functional.cross_entropy(model.head(block(own)), wanted)
            return task + weight * self._last(block, others, labels)

        finish(
            model,
            tasks,
            self.recipe,
            loss,
            steps=self.finishing_steps,
            undesirable_batch_size=self.finishing_batch_size,
            generator=generator,
        )

    def random_levels(
        self, model: Classifier, tasks: TaskPair, generator: torch.Generator
    ) -> tuple[float, ...]:
        """Return what is spared of the blocks before the last: `r_0 + spared * (r - r_0)`.

        r is R2 of random weights, r_0 of the same with labels of other samples: of a batch, even
        what says nothing explains something. Means over batches as in training.

        Args:
            model: whose architecture is drawn anew.
            tasks: whose undesirable samples it is measured on.
            generator: of the batches, and of whose labels are taken.

        Raises:
            InputError: weights of the model cannot be drawn anew; with `spared` 0 none are.
        """
        size = self.undesirable_batch_size
        batches = tasks.known_undesirable.batches(size, BATCHES, generator)
        pairs = random_shares(model.reinitialised(0), batches, self._explained, generator)
        return tuple(chance + self.spared * (share - chance) for chance, share in pairs)

    def adaptive_attacks(self) -> tuple[Attack, ...]:
        """Return the attack that revives dead units, then climbs what this method descends."""
        climb = Repaired(SeparateClasses(steps=40), ExactLastLayer(1e-2, "standardised"))
        return (Repaired(LeakyActivations(), climb),)

    def loss(
        self, model: Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        """Return the desirable cross-entropy plus the weighted explained variances."""
        (inputs, wanted), (others, labels) = desirable, undesirable
        blocks, weight = model.blocks, self._weight(progress)
        kept = 1 if progress >= self.settled and len(blocks) > 1 else 0
        *_, features = passed_on(blocks, inputs, kept)
        task = functional.cross_entropy(model.head(features), wanted)
        if not weight:
            return task
        explained = torch.zeros(())
        with freeze_running_statistics(model):
            outputs = others
            for position, outputs in enumerate(passed_on(blocks[:-1], others, kept)):
                share = self.depth_weight if position else self.first_weight
                if share and position >= kept:
                    found = self._explained(model, position, outputs, labels)
                    level = self.levels[position] if self.levels else 0.0
                    explained = explained + share * functional.relu(found - level)
            last = self._last(blocks[-1], outputs, labels)
        return task + weight * (explained + last)

    def _explained(
        self, model: Classifier, position: int, outputs: Tensor, labels: Tensor
    ) -> Tensor:
        """Return R2 of the outputs of the block at that position."""
        hidden = self._projected(pool_outputs(model.blocks[position], outputs))
        return explained_variance(hidden, labels, self.ridge)

    def _weight(self, progress: float) -> float:
        """Return w at that progress through training, in [0, 1]."""
        if progress < self.wait:
            return 0.0
        return self.weight * min(1.0, (progress - self.wait) / self.warm_in if self.warm_in else 1)

    def _last(self, block: nn.Module, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the terms of the last block, of what the blocks before make of a batch."""
        features, given = run_with_preactivation(block, outputs)
        terms = linear_information(self._projected(features), labels, self.ridge)
        if self.before and find_activations(block):
            value = linear_information(self._projected(given), labels, self.ridge)
            terms = terms + self.before * value
        return terms

    def _projected(self, outputs: Tensor) -> Tensor:
        flat = outputs.flatten(1)
        if flat.shape[1] <= self.projection:
            return flat
        # Uniform entries serve as well as normal ones and are four times cheaper to draw.
        random = torch.rand(flat.shape[1], self.projection, device=flat.device) - 0.5
        projected: Tensor = flat @ random.to(flat.dtype)
        return projected
