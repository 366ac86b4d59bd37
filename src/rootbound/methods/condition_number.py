"""Immunisation: a new last layer is well-conditioned on one task, ill-conditioned on another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.attacks import Attack, ExactLastLayer, FineTune
from rootbound.attacks.repairs import InsertWhitening, Repaired
from rootbound.core.devices import in_full
from rootbound.core.fields import NonNegativeFloat, PositiveFloat, PositiveInt
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import pairs
from rootbound.methods.plain import AfterTraining
from rootbound.methods.shared.condition import ill, preconditioned, well
from rootbound.networks import Classifier
from rootbound.training import Recipe, minimise


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
    section 4.4; for a linear extractor, where the step is exact, see `LinearHessian`.
    Differs from the paper: `Z'Z` is divided by N, so that weights do not depend on the batch;
    Adam under a one-cycle rate instead of SGD with momentum. The weights are chosen for a
    small CNN; the paper's (5e-5 and 2e6 for a ResNet18) belong to its features. Its code
    leaves the dummy layer out for deep networks: `preconditioner="none"`.

    Args:
        recipe: of learning the desirable task, before the defence begins.
        immunisation: of the defence; its batch size is of desirable samples.
        undesirable_batch_size: undesirable samples a step.
        well_weight: of R_well, at least 0.
        ill_weight: of R_ill, at least 0.
        trained_blocks: last blocks that the defence trains, with the head; None for all.
        preconditioner: `features`, or `none`.
        ridge: added to what is inverted, relative to its mean eigenvalue, above 0.

    Raises:
        InputError: a value is out of range.
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
            pairs(self.immunisation, tasks, steps, self.undesirable_batch_size, generator),
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
        with in_full(features) as features:
            wanted, unwanted = features.tensor_split([len(labels)])
            terms = self.well_weight * well(self._hessian(wanted))
            return task + terms + self.ill_weight * ill(self._hessian(unwanted))

    def _hessian(self, features: Tensor) -> Tensor:
        if self.preconditioner == "features":
            features = preconditioned(features, self.ridge)
        return features.T @ features / len(features)
