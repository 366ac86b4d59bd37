"""TAR: predictions on undesirable samples stay uncertain along simulated tampering."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.core.fields import NonNegativeFloat, PositiveFloat, PositiveInt
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import AfterTraining
from rootbound.methods.shared.trajectory import (
    Step,
    cross_entropy,
    make_term_with_gradient,
    suppression_loss,
    trajectory_gradient,
)
from rootbound.networks import Classifier
from rootbound.training import minimise


@dataclass(frozen=True)
class TAR(AfterTraining):
    """Tampering attack resistance: raise the entropy along the trajectory of a sampled attacker.

    Loss: `tamper_weight * sum_i exp(growth * (i - K)) * -H(softmax(z(phi_i)))`, with `phi_i`
    the weights after i of K steps of an attacker and `z` its logits on other undesirable
    samples, to first order, plus `retain_weight * (CE + mean_l ||h_l(theta) - h_l(theta_0)||_2)`
    on desirable ones, with `h_l` the outputs of block l and `theta_0` where the defence began.

    Paper: R. Tamirisa et al., "Tamper-Resistant Safeguards for Open-Weight LLMs", ICLR 2025,
    https://arxiv.org/abs/2408.00761, Algorithm 1.
    Differs from the paper: this version is for classifiers. The attacker trains a fresh head on the
    undesirable samples with Adam; every third one trains on the desirable task first and switches
    after a share of the steps drawn from Beta(6, 3), as in the code. There is no safeguard before,
    since a model without undesirable classes already refuses them. Adam under a one-cycle rate,
    and rates for small networks; the code has 750 steps of schedule-free AdamW at 2e-5 and
    attackers at 2e-6, 2e-5 or 4e-5. Its other values are the defaults.

    Args:
        recipe: How long and how fast to learn the desirable task; the retained batches have its
            size.
        outer_steps: Steps of the defence.
        attack_steps: K.
        judged_every: Steps of an attacker between two terms of the sum, at most K.
        attack_rates: Learning rates of the attackers; one is drawn at each outer step.
        attack_batch_size: Undesirable samples in a step, and in a term.
        tamper_weight: Weight of the sum along an attack.
        retain_weight: Weight of the term that retains the desirable task.
        growth: How fast the weight of a term grows with the step; 0 weighs all terms alike.
        learning_rate: Peak learning rate of the defence.

    Raises:
        InputError: A value is out of range.
    """

    outer_steps: PositiveInt = 150
    attack_steps: PositiveInt = 64
    judged_every: PositiveInt = 4
    attack_rates: tuple[PositiveFloat, ...] = (1e-4, 1e-3, 2e-3)
    attack_batch_size: PositiveInt = 32
    tamper_weight: PositiveFloat = 4.0
    retain_weight: PositiveFloat = 1.0
    growth: NonNegativeFloat = 0.0625
    learning_rate: PositiveFloat = 3e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.attack_rates:
            raise InputError("at least one of attack_rates", "none", "give one")
        if self.judged_every > self.attack_steps:
            raise InputError(
                f"judged_every of at most {self.attack_steps} attack_steps",
                str(self.judged_every),
                "lower it",
            )

    def defend(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend the tampering loss and the loss that retains the desirable task."""
        start = copy.deepcopy(model).train().requires_grad_(False)
        shared = [one for one in model.backbone.parameters() if one.requires_grad]

        def loss(batch: Batch, _: float) -> Tensor:
            head = nn.Linear(model.head.in_features, len(tasks.undesirable.classes))
            rate = self.attack_rates[_draw_samples(len(self.attack_rates), generator)]
            steps = self._steps(model, head, tasks, generator)
            network = nn.ModuleList([model, head])
            tampering = make_term_with_gradient(
                shared, trajectory_gradient(network, shared, steps, "adam", rate)
            )
            return tampering + self.retain_weight * retain_loss(model, start, batch)

        minimise(
            model,
            loss,
            self.recipe.batches(tasks.desirable.train, self.outer_steps, generator),
            steps=self.outer_steps,
            learning_rate=self.learning_rate,
            title="TAR",
        )

    def _steps(
        self, model: Classifier, head: nn.Linear, tasks: TaskPair, generator: torch.Generator
    ) -> Iterator[Step]:
        """Yield an attack: some of it on the desirable task, the rest on the undesirable one."""
        before = 0
        if _draw_samples(3, generator) == 0:
            # The sixth smallest of eight uniform numbers follows Beta(6, 3).
            share = float(torch.rand(8, generator=generator).sort().values[5])
            before = round(share * self.attack_steps)
        draw = partial(self.recipe.batches, generator=generator, size=self.attack_batch_size)
        benign = draw(tasks.desirable.train, before)
        harmful = draw(tasks.known_undesirable, self.attack_steps - before)
        judged = draw(tasks.known_undesirable, self.attack_steps // self.judged_every)
        attacked = Classifier(model.backbone, head)
        for step in range(1, self.attack_steps + 1):
            victim, batch = (model, next(benign)) if step <= before else (attacked, next(harmful))
            term = None
            if step % self.judged_every == 0:
                weight = self.tamper_weight * math.exp(self.growth * (step - self.attack_steps))
                term = partial(_compute_tampering_loss, attacked, next(judged), weight)
            yield partial(cross_entropy, victim, *batch), term


def retain_loss(model: Classifier, start: Classifier, batch: Batch) -> Tensor:
    """Return the cross-entropy plus the mean distance of all blocks' outputs from the start's."""
    outputs = before = batch[0]
    distances = []
    for block, original in zip(model.blocks, start.blocks, strict=True):
        outputs, before = block(outputs), original(before)
        distances.append((outputs - before).flatten(1).norm(dim=1).mean())
    return functional.cross_entropy(model.head(outputs), batch[1]) + torch.stack(distances).mean()


def _compute_tampering_loss(network: Classifier, batch: Batch, weight: float) -> Tensor:
    return weight * suppression_loss("entropy", network(batch[0]), batch[1])


def _draw_samples(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))
