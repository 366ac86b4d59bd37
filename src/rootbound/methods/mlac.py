"""MLAC: learn weights from which an adversary cannot adapt, by second-order gradients."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.devices import at_least_float32
from rootbound.core.fields import NonNegativeFloat, PositiveFloat, PositiveInt
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import AfterTraining
from rootbound.methods.shared.unrolled import InnerOptimiser, Unrolled
from rootbound.networks import Classifier
from rootbound.training import minimise


@dataclass(frozen=True)
class MLAC(AfterTraining):
    """Meta-learned adversarial censoring: ascend the loss that an adversary adapts to.

    Loss: `CE(desirable; theta) - mean_k (adapted_weight * CE(z_k) + recalibrated_weight *
    min_W CE(z_k W)) + gradient_weight * mean_k ||g_k||`, with `z_k` the logits on undesirable
    samples after k of K steps from `theta`, `g_k` those steps' gradients, and W over
    `[-1, 1]^(C x C)`. The gradient goes through all steps (second order), and through the
    minimum by the envelope theorem. The adversary's head and learning rate are learned too:
    they descend `mean_k CE(z_k)`.

    Paper: P. Henderson et al., "Self-Destructing Models: Increasing the Costs of Harmful Dual
    Uses of Foundation Models", AIES 2023, https://arxiv.org/abs/2211.14946, Algorithm 1.
    Differs from the paper: the undesirable task has a head of its own, which may also be `fresh` in
    each trajectory, as a real attacker's is. Adam under a one-cycle rate, without clipping. Rates
    are for small networks and fewer steps; the paper has 50,000 outer steps at 1e-5, and an
    attacker's rate of 3e-4, learned at 1e-4 between 1e-6 and 1e-2.

    Args:
        recipe: How long and how fast to learn the desirable task; the defence takes batches of its
            size.
        outer_steps: Steps of the defence.
        attack_steps: K.
        attack_optimiser: Optimiser of the adversary.
        attack_rate: The adversary's learning rate at the start.
        attack_batch_size: Undesirable samples in a step of the adversary.
        head: The adversary's head at the start of each trajectory: `learned` so far, or `fresh`.
        adversary_rate: Learning rate at which the adversary's head and its learning rate are
            learned over trajectories; the latter stays between 1e-6 and 1e-2.
        adapted_weight: Weight of the adapted loss, which has no upper bound.
        recalibrated_weight: Weight of the recalibrated loss, which is at most log C.
        gradient_weight: Weight of the norm of the gradients.
        learning_rate: Peak learning rate of the defence.

    Raises:
        InputError: A value is out of range.
    """

    outer_steps: PositiveInt = 200
    attack_steps: PositiveInt = 4
    attack_optimiser: InnerOptimiser = "adam"
    attack_rate: PositiveFloat = 1e-3
    attack_batch_size: PositiveInt = 32
    head: Literal["learned", "fresh"] = "fresh"
    adversary_rate: NonNegativeFloat = 1e-4
    adapted_weight: NonNegativeFloat = 0.0
    recalibrated_weight: NonNegativeFloat = 1.0
    gradient_weight: NonNegativeFloat = 0.0
    learning_rate: PositiveFloat = 1e-2

    def defend(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend the loss, and let the adversary descend its own."""
        head = nn.Linear(model.head.in_features, len(tasks.undesirable.classes))
        adversary = Classifier(model.backbone, head)
        rate = nn.Parameter(torch.tensor(self.attack_rate))
        learned = [rate, *(head.parameters() if self.head == "learned" else ())]
        learning = torch.optim.Adam(learned, self.adversary_rate)
        steps = self.outer_steps * (self.attack_steps + 1)
        size = self.attack_batch_size
        known = self.recipe.batches(tasks.known_undesirable, steps, generator, size)

        def loss(batch: Batch, _: float) -> Tensor:
            if self.head == "fresh":
                head.reset_parameters()
            batches = list(itertools.islice(known, self.attack_steps + 1))
            # Copy the rate, because it changes before the gradient is taken.
            adapted, censored = self.adversarial(adversary, rate.clone(), batches)
            gradients = torch.autograd.grad(adapted, learned, retain_graph=True)
            for parameter, gradient in zip(learned, gradients, strict=True):
                parameter.grad = gradient
            learning.step()
            with torch.no_grad():
                rate.clamp_(1e-6, 1e-2)
            return functional.cross_entropy(model(batch[0]), batch[1]) + censored

        minimise(
            model,
            loss,
            self.recipe.batches(tasks.desirable.train, self.outer_steps, generator),
            steps=self.outer_steps,
            learning_rate=self.learning_rate,
            title="MLAC",
        )

    def adversarial(
        self, adversary: Classifier, rate: Tensor, batches: list[Batch]
    ) -> tuple[Tensor, Tensor]:
        """Return the adversary's loss, and the undesirable part of the model's loss.

        Args:
            adversary: The model with the adversary's head.
            rate: The adversary's learning rate.
            batches: First the batch that losses are measured on, then those to adapt to.
        """
        (inputs, labels), *rest = batches
        attacked = Unrolled(adversary)
        logits, norms = [], []
        for weights, gradients in attacked.descend(rest, rate, self.attack_optimiser):
            logits.append(attacked(weights, inputs))
            norms.append(torch.cat([one.flatten() for one in gradients]).norm())
        outputs = torch.stack(logits)
        adapted = functional.cross_entropy(outputs.flatten(0, 1), labels.repeat(len(outputs)))
        gained = self.adapted_weight * adapted
        if self.recalibrated_weight:
            gained = gained + self.recalibrated_weight * recalibrated_loss(outputs, labels)
        return adapted, self.gradient_weight * torch.stack(norms).mean() - gained


def recalibrated_loss(logits: Tensor, labels: Tensor, iterations: int = 100) -> Tensor:
    """Return the mean over K sets of logits of `min_W CE(z W)`, W in `[-1, 1]^(C x C)`.

    It is at most `log C`, the value at `W = 0`. So a network cannot look bad because of a
    permutation or a sign that any new head would undo. The problem is convex. At its solution the
    change of W does not contribute to the gradient (envelope theorem), so no gradient flows through
    the solver.

    Args:
        logits: K sets of logits, `(K, N, C)`.
        labels: `(N,)` int64.
        iterations: Steps of projected gradient descent with acceleration (A. Beck, M. Teboulle, "A
            Fast Iterative Shrinkage-Thresholding Algorithm", 2009).

    Returns:
        A scalar, differentiable in the logits.
    """
    with at_least_float32(logits) as full:
        return _recalibrate(full, labels, iterations)


def _recalibrate(logits: Tensor, labels: Tensor, iterations: int) -> Tensor:
    sets, count, classes = logits.shape
    with torch.no_grad():
        targets = functional.one_hot(labels, classes).to(logits.dtype)
        # Half the largest eigenvalue bounds the curvature of the cross-entropy.
        curvature = torch.linalg.matrix_norm(logits, 2).square() / (2 * count)
        step = 1 / curvature.clamp_min(1e-12)[:, None, None]
        mixing = ahead = logits.new_zeros(sets, classes, classes)
        for done in range(iterations):
            residual = (logits @ ahead).softmax(-1) - targets
            moved = (ahead - step * (logits.mT @ residual) / count).clamp(-1, 1)
            ahead = moved + done / (done + 3) * (moved - mixing)
            mixing = moved
    mixed = (logits @ mixing).flatten(0, 1)
    return functional.cross_entropy(mixed, labels.repeat(sets))
