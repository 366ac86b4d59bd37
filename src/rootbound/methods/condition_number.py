"""Immunisation: a new last layer is well-conditioned on one task, ill-conditioned on another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.attacks import Attack, ExactLastLayer, FineTune
from rootbound.attacks.repairs import InsertWhitening, Repaired
from rootbound.core.devices import at_least_float32
from rootbound.core.fields import NonNegativeFloat, PositiveFloat, PositiveInt
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import AfterTraining
from rootbound.methods.shared.batches import draw_pairs
from rootbound.networks import Classifier
from rootbound.training import Recipe, minimise

FLOOR = 1e-18
"""Smallest denominator of R_ill: if all directions are equal, R_ill is constant, not infinite."""


@dataclass(frozen=True)
class ConditionNumber(AfterTraining):
    """Condition the last layer's Hessian well on desirable samples and ill on undesirable ones.

    Loss: `CE(desirable) + well_weight R_well(H_P) + ill_weight R_ill(H_H)` with
    `R_well(H) = sigma_1^2 / 2 - |H|_F^2 / (2 D)` and
    `R_ill(H) = 1 / (|H|_F^2 / (2 k) - sigma_k^2 / 2)`, where over a batch of features `Z (N, D)`
    of the desirable (P) or undesirable (H) task `H = Z'Z / N` has rank k and singular values
    sigma. Gradients of the two terms are multiplied by the inverse of `Z'Z / N` (the dummy
    layer), so that they move all directions at rates that do not depend on their size.

    Paper: A. Zheng, C. Bai, B. Bullins, R. Yeh, "Model Immunization from a Condition Number
    Perspective", ICML 2025, https://arxiv.org/abs/2505.23760, equations 3, 11, 12, Theorem 4.2,
    section 4.4.
    Differs from the paper: `Z'Z` is divided by N, so that weights do not depend on the batch;
    Adam under a one-cycle rate instead of SGD with momentum. The weights are chosen for a
    small CNN; the paper's (5e-5 and 2e6 for a ResNet18) belong to its features. Its code
    leaves the dummy layer out for deep networks: `preconditioner="none"`.

    Args:
        recipe: How long and how fast to learn the desirable task, before the defence begins.
        immunisation: How long and how fast to defend; its batch size is that of desirable samples.
        undesirable_batch_size: Undesirable samples in a step.
        well_weight: Weight of R_well.
        ill_weight: Weight of R_ill.
        trained_blocks: How many of the last blocks the defence trains, besides the head; all of
            them by default.
        preconditioner: `features`, or `none` to leave the dummy layer out.
        ridge: Added to what is inverted, relative to its mean eigenvalue.

    Raises:
        InputError: A value is out of range.
    """

    immunisation: Recipe = Recipe(epochs=3, learning_rate=1e-3)
    undesirable_batch_size: PositiveInt = 128
    well_weight: NonNegativeFloat = 0.0
    ill_weight: NonNegativeFloat = 1.0
    trained_blocks: PositiveInt | None = None
    preconditioner: Literal["features", "none"] = "features"
    ridge: PositiveFloat = 1e-3

    def adaptive_attacks(self) -> tuple[Attack, ...]:
        """Return attacks that choose their coordinates: there conditioning means nothing."""
        return (
            ExactLastLayer(1e-3, "whitened"),
            Repaired(InsertWhitening(), FineTune(None, "kept", "adam", 2e-3)),
        )

    def defend(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend the loss on fresh pairs of batches."""
        steps = self.immunisation.steps(len(tasks.desirable.train))
        frozen = 0 if self.trained_blocks is None else len(model.blocks) - self.trained_blocks
        for block in model.blocks[: max(0, frozen)]:
            block.requires_grad_(False)
        minimise(
            model,
            lambda pair, _: self.loss(model, *pair),
            draw_pairs(self.immunisation, tasks, steps, self.undesirable_batch_size, generator),
            steps=steps,
            learning_rate=self.immunisation.learning_rate,
            title=type(self).__name__,
            changes=(),
        )

    def loss(self, model: Classifier, desirable: Batch, undesirable: Batch) -> Tensor:
        """Return the loss of a desirable and an undesirable batch."""
        inputs, labels = desirable
        features = model.features(torch.cat([inputs, undesirable[0]]))
        task = functional.cross_entropy(model.head(features[: len(labels)]), labels)
        with at_least_float32(features) as features:
            wanted, unwanted = features.tensor_split([len(labels)])
            terms = self.well_weight * measure_well_conditioning(self._hessian(wanted))
            return (
                task + terms + self.ill_weight * measure_ill_conditioning(self._hessian(unwanted))
            )

    def _hessian(self, features: Tensor) -> Tensor:
        if self.preconditioner == "features":
            features = precondition_gradient(features, self.ridge)
        return features.T @ features / len(features)


def measure_well_conditioning(matrix: Tensor) -> Tensor:
    """Return `R_well(S) = sigma_1^2 / 2 - |S|_F^2 / (2 p)`, 0 where all sigma are equal.

    The gradient is `sigma_1 u_1 v_1' - S / p` (equation 3).

    Args:
        matrix: S `(rows, columns)`; p is the smaller of the two.
    """
    largest, _, _ = _find_extremes(matrix)
    return 0.5 * (largest.square() - matrix.square().sum() / min(matrix.shape))


def measure_ill_conditioning(matrix: Tensor) -> Tensor:
    """Return `R_ill(S) = 1 / (|S|_F^2 / (2 k) - sigma_k^2 / 2)`, which is 0 at kappa = infinity.

    The gradient is `R_ill^2 (sigma_k u_k v_k' - S / k)` (equations 12 and 13).

    Args:
        matrix: S `(rows, columns)`, of rank k.
    """
    _, smallest, rank = _find_extremes(matrix)
    return 1 / (0.5 * (matrix.square().sum() / rank - smallest.square())).clamp_min(FLOOR)


def _find_extremes(matrix: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return the largest and the smallest singular value above 0, differentiable, and the rank."""
    left, values, right = torch.linalg.svd(matrix.detach(), full_matrices=False)
    noise = max(matrix.shape) * torch.finfo(matrix.dtype).eps * values[0]
    rank = max(1, int((values > noise).sum()))
    # A singular value's gradient is that of u'Sv with u and v held fixed (both are optimal).
    return left[:, 0] @ matrix @ right[0], left[:, rank - 1] @ matrix @ right[rank - 1], rank


class _Preconditioned(torch.autograd.Function):
    """The identity, whose backward multiplies by the inverse covariance of what went through."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, ridge: float) -> Tensor:
        covariance = features.T @ features / len(features)
        covariance.diagonal().add_(ridge * covariance.trace() / len(covariance) + FLOOR)
        ctx.save_for_backward(torch.linalg.cholesky(covariance))
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        scaled: Tensor = torch.cholesky_solve(gradients[0].T, factor).T
        return scaled, None


def precondition_gradient(features: Tensor, ridge: float = 1e-3) -> Tensor:
    """Return the features; gradients through them are multiplied by their inverse covariance.

    This is the paper's dummy layer (section 4.4, appendix C.3).

    Args:
        features: Z `(N, D)`; the covariance is `Z'Z / N`.
        ridge: Added to the covariance, relative to its mean eigenvalue.
    """
    same: Tensor = _Preconditioned.apply(features, ridge)
    return same
