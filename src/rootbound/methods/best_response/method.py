"""BestResponse: train against the attacker's optimal last layer, which has a closed form."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks import Attack, ExactLastLayer, Repaired
from rootbound.attacks.repairs import LeakyActivations, SeparateClasses
from rootbound.core.errors import InputError
from rootbound.core.fields import NonNegativeFloat, PositiveFloat, PositiveInt, Share
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import Method
from rootbound.methods.best_response.price import Price
from rootbound.methods.best_response.schedule import Schedule
from rootbound.methods.best_response.teacher import find_teacher, learn_or_copy
from rootbound.methods.best_response.terms import Terms, block_outputs
from rootbound.methods.shared.batches import draw_some_pairs, hold_out
from rootbound.networks import Classifier
from rootbound.networks.layers import find_batch_norms, freeze_running_statistics
from rootbound.training import Recipe, minimise

log = logging.getLogger(__name__)

BATCH, BATCH_WITH_NORMS = 256, 512
"""Default numbers of undesirable samples in a step: without batch norms, and with them."""
EVERY_WITH_NORMS = 2
"""Default number of steps between undesirable batches, with batch norms."""
TAUGHT_WITH_NORMS = 0.5
"""Default share of the desirable loss that comes from a teacher, with batch norms."""
LEVEL_BATCHES = 8
"""Undesirable batches on which `r_l`, what random weights explain, is measured."""
HELD_OUT, MOST_HELD_OUT = 2000, 0.1
"""Most desirable samples held out to find the weight for a price, and their largest share."""


@dataclass(frozen=True)
class BestResponse(Method):
    """Train against the attacker's best linear head, which has a closed form.

    Loss: `CE(desirable) + w(progress) * (I(h) + b I(z) + sum_l w_l relu(R2(P h_l) - r_l))`.
    Over an undesirable batch, `S (D, D)` is the covariance of the features. `C (D, K)` is their
    covariance with the one-hot labels `Y`, whose own covariance is T. `E = C' (S + e I)^-1 C`, with
    `e = ridge * tr(S) / D`, is the part of T that the optimal ridge head explains.
    `I = -log det(1 - E / T)` per degree of freedom is the information that the head gets, in nats.
    `R2 = tr(E) / tr(T)` is the share that it explains. h are the last features, z the inputs of
    their activation.

    The gradients are exact: the inner problem is solved and differentiated, and no optimiser is
    simulated. An invertible linear map of the features changes neither I nor R2, so bad
    conditioning does not lower the loss. R2 has no gradient once the head separates a class, but I
    still has one. So I is used for h and z, where nothing may be left.

    Three parts address attackers who do more than replace the last layer:

    - The term on z. Without it, dead units are the cheapest solution, and they hide nothing: a
      linear head before the activation, or a leaky activation, still reads everything.
    - R2 of the outputs `h_l` of the earlier blocks, averaged over places as a probe does. A fresh
      random projection `P` is drawn in every step, so that small batches cover a wide layer over
      time. Only the part above `r_l` counts. `r_l` is what the block explains with random weights,
      which an attacker from scratch has too.
    - The first block has the largest weight (`first_weight`; the others have `depth_weight`),
      because an attacker can easily keep it and re-initialise all other blocks. After
      `first_block_until` it is frozen: training it to the end would take half as long again, and
      gain nothing.

    Undesirable samples have a batch of their own, so that BatchNorm scales them as in an attacker's
    fine-tuning. The running statistics are those of the desirable task.

    A teacher keeps the price low on hard tasks. It is the same network trained without the terms,
    or the given network if it does the desirable task already. A share `taught` of the loss is
    copying the teacher's outputs instead of the cross-entropy.

    A batch overestimates R2, by `D / (N - 1)`, which also makes gradients noisier. So on hard tasks
    larger batches in fewer steps do better at the same cost. The last steps train the last block
    alone on far larger batches; its inputs are computed once.

    Terms in some steps only: T. Karras et al., "Analyzing and Improving the Image Quality of
    StyleGAN", CVPR 2020, https://arxiv.org/abs/1912.04958, "lazy regularization". The teacher:
    see `teacher.learn_or_copy`.

    Paper: none; ours. R2 is the Pillai trace of discriminant analysis (K. Pillai, "Some new
    test criteria in multivariate analysis", 1955) with a ridge, I comes from Wilks' lambda (1932).

    Args:
        recipe: How long and how fast to train.
        undesirable_batch_size: Undesirable samples in a step; more than `terms.projection` is best.
            By default 256, or 512 if the network has batch norms, as those for photographs do.
        undesirable_every: Steps between undesirable batches; the weight of the terms is multiplied
            by this number. By default 1, or 2 if the network has batch norms.
        weight: Weight of all undesirable terms together, once they count in full (`w`).
        max_desirable_drop: Points of desirable accuracy that may be lost. If given, the weight is
            found during training, starting at a fifth of `weight`: a twin is trained on the same
            batches without the terms, and both are compared on held-out desirable samples. This
            takes as much extra time as training without intervention. On photographs more may be
            lost; then a warning says so.
        taught: Share of the desirable loss that comes from a teacher, in [0, 1]. Unless the network
            does the task already, the teacher is trained first, which takes as much time as
            training without intervention. By default 0, or 0.5 if the network has batch norms.
        terms: The weights of the terms relative to that of the last features, and how the terms are
            measured.
        schedule: When the terms count, when the first block is frozen, and the last steps.

    Raises:
        InputError: A value is out of range.
    """

    recipe: Recipe = Recipe(learning_rate=1e-2)
    undesirable_batch_size: PositiveInt | None = None
    undesirable_every: PositiveInt | None = None
    weight: NonNegativeFloat = 0.15
    max_desirable_drop: PositiveFloat | None = None
    taught: Share | None = None
    terms: Terms = Terms()
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_desirable_drop is not None and self.weight == 0:
            raise InputError("weight above 0 for max_desirable_drop", "0", "raise it")

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Minimise the loss, with a fixed weight or one that meets its price, then finish."""
        self.suited_to(model)._train(model, tasks, generator)

    def suited_to(self, model: Classifier) -> Self:
        """Return the method with all defaults chosen: they depend on batch norms."""
        norms = bool(find_batch_norms(model))
        size, taught = self.undesirable_batch_size, self.taught
        return replace(
            self,
            undesirable_batch_size=size or (BATCH_WITH_NORMS if norms else BATCH),
            undesirable_every=self.undesirable_every or (EVERY_WITH_NORMS if norms else 1),
            taught=taught if taught is not None else TAUGHT_WITH_NORMS * norms,
        )

    def _train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        levels = self.random_levels(model, tasks, generator)
        price = None
        if self.max_desirable_drop is not None:
            data = tasks.desirable.train
            count = max(1, min(HELD_OUT, round(MOST_HELD_OUT * len(data))))
            held_out, rest = hold_out(data, count, generator)
            tasks = replace(tasks, desirable=replace(tasks.desirable, train=rest))
            price = Price(
                model,
                held_out,
                allowed=self.max_desirable_drop,
                weight=self.weight,
                start=min(1.0, self.schedule.wait + self.schedule.warm_in),
                steps=self.recipe.steps(len(rest)),
            )
        desirable = tasks.desirable.train
        teacher = find_teacher(model, desirable, self.recipe, generator) if self.taught else None

        def loss(pair: tuple[Batch, Batch | None], progress: float) -> Tensor:
            if price is None:
                return self.loss(model, *pair, progress, levels, teacher)
            weighed = replace(self, weight=price.at(progress))
            (inputs, labels), _ = pair
            defended = weighed.loss(model, *pair, progress, levels, teacher)
            return defended + functional.cross_entropy(price.twin(inputs), labels)

        steps = self.recipe.steps(len(desirable))
        minimise(
            model if price is None else nn.ModuleList([model, price.twin]),
            loss,
            draw_some_pairs(
                self.recipe,
                tasks,
                steps,
                self.undesirable_batch_size or BATCH,
                self.undesirable_every or 1,
                generator,
            ),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title=type(self).__name__,
            changes=() if price is None else (price,),
        )
        self._finish(model, tasks, self.weight if price is None else price.weight, generator)
        if price is not None:
            _tell_price(price)

    def _finish(
        self, model: Classifier, tasks: TaskPair, weight: float, generator: torch.Generator
    ) -> None:
        weight = weight * self.schedule.finishing_weight
        if not weight:
            return

        def loss(own: Tensor, wanted: Tensor, others: Tensor, labels: Tensor) -> Tensor:
            block = model.blocks[-1]
            task = functional.cross_entropy(model.head(block(own)), wanted)
            return task + weight * self.terms.of_last(block, others, labels)

        self.schedule.finish(model, tasks, self.recipe, loss, generator)

    def random_levels(
        self, model: Classifier, tasks: TaskPair, generator: torch.Generator
    ) -> tuple[float, ...]:
        """Return `r_l` of each block but the last; nothing if all are 0 or unused.

        Raises:
            InputError: Weights of the model cannot be drawn anew; with `spared` 0 none are.
        """
        terms = self.terms
        used = self.weight and (terms.first_weight or terms.depth_weight)
        if not (used and terms.spared and len(model.blocks) > 1):
            return ()
        size = self.undesirable_batch_size or BATCH
        batches = tasks.known_undesirable.batches(size, LEVEL_BATCHES, generator)
        levels = terms.random_levels(model, batches, generator)
        log.debug("random weights explain %s", ", ".join(f"{level:.3f}" for level in levels))
        return levels

    def adaptive_attacks(self) -> tuple[Attack, ...]:
        """Return the attack that revives dead units, then maximises what this method minimises."""
        climb = Repaired(SeparateClasses(steps=40), ExactLastLayer(1e-2, "standardised"))
        return (Repaired(LeakyActivations(), climb),)

    def loss(
        self,
        model: Classifier,
        desirable: Batch,
        undesirable: Batch | None,
        progress: float,
        levels: Sequence[float] = (),
        teacher: Classifier | None = None,
    ) -> Tensor:
        """Return the desirable loss plus the weighted terms; `levels` are the `r_l`."""
        inputs, wanted = desirable
        frozen = self.schedule.frozen_blocks(model, progress)
        *_, features = block_outputs(model.blocks, inputs, frozen)
        task = learn_or_copy(model.head(features), inputs, wanted, teacher, self.taught or 0.0)
        weight = self.weight * self.schedule.factor(progress) * (self.undesirable_every or 1)
        if not weight or undesirable is None:
            return task
        others, labels = undesirable
        with freeze_running_statistics(model):
            return task + weight * self.terms(model.blocks, others, labels, frozen, levels)


def _tell_price(price: Price) -> None:
    """Log the loss on held-out samples, and warn if it is more than allowed."""
    lost, error = price.measure()
    samples = len(price.held_out)
    log.info(
        "weight %.3g; %.2f points lost (standard error %.2f) on %d held-out samples, "
        "%.3g allowed", price.weight, lost, error, samples, price.allowed,
    )  # fmt: skip
    if lost - error > price.allowed:
        log.warning("more desirable accuracy was lost than allowed: begin with a smaller weight")
