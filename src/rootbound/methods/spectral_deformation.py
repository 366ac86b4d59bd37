"""Spectral deformation: split layers into an inflated factor and one that compensates for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from rootbound.attacks import Attack, FineTune
from rootbound.attacks.repairs import BalanceFactors, Repaired
from rootbound.core.errors import InputError
from rootbound.core.fields import PositiveInt, Range
from rootbound.data import TaskPair
from rootbound.methods.base import AfterTraining
from rootbound.networks import Classifier
from rootbound.networks.computed import fold_computed_weights

Layer = nn.Linear | nn.Conv2d
READ_BY_OWNER = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
"""Modules that read the weights of their layers directly, so that no layer can be added there."""


@dataclass(frozen=True)
class SpectralDeformation(AfterTraining):
    """Multiply singular values by alpha, and divide by alpha in an added layer (SpecDef).

    There is no loss. A trained layer's matrix `W = U S V'` becomes `C W~` with `W~ = U S~ V'`,
    where the first `directions` entries of `S~` are `alpha` times those of S, and
    `C = U S S~^-1 U'`. The function stays the same. The curvature of any loss grows with
    `sigma_1(W~)` (Theorem 3), so that gradient descent needs rates alpha times smaller. No
    undesirable samples are used, so the defence is against every other task.

    Paper: D. Rosati, X. Zeng, H. Huang, S. Dionicio, S. Majumdar, F. Rudzicz, H. Sajjad,
    "Limits of Convergence-Rate Control for Open-Weight Safety", ICML 2026,
    https://arxiv.org/abs/2602.18868, section 4; first as "Locking Open Weight Models with
    Spectral Deformation", ICML 2025 workshop TAIG. The paper also shows that an attacker can undo
    it by multiplying the factors again, as `BalanceFactors` does.
    Differs from the paper: it deforms all linear and convolutional layers of the backbone, where
    the paper picks some layers of a large network. A convolution `(O, I, h, w)` counts as the
    matrix `(O, I h w)`, and the layer added after it is a 1x1 convolution. Weights that layers
    compute from others become ordinary ones first. Layers whose weights torch's own attention
    reads directly stay as they are. The workshop's version was iterative; we had no access to it.

    The network has more layers afterwards, so `save_model` refuses it; `state_dict()` works.

    Args:
        recipe: How long and how fast to learn the desirable task, before the defence begins.
        alpha: Factor of the largest singular values, above 1. The paper has 1e3 to 1e9, mostly
            1e4. Float32 has about 7 digits; alpha = 10^n costs n of them.
        directions: How many singular values are multiplied (the paper's k, 25).

    Raises:
        InputError: A value is out of range, or no layer is left to deform.
    """

    alpha: Annotated[float, Range(above=1)] = 1e5
    directions: PositiveInt = 8

    def adaptive_attacks(self) -> tuple[Attack, ...]:
        """Return fine-tuning after the factors have been multiplied and split evenly."""
        return (Repaired(BalanceFactors(), FineTune(None, "kept", "adam", 2e-3)),)

    def defend(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Replace every layer of the backbone by two factors."""
        fold_computed_weights(model.backbone)
        holders = [
            (module, name, part)
            for module in model.backbone.modules()
            if not isinstance(module, READ_BY_OWNER)
            for name, part in module._modules.items()
            if isinstance(part, Layer) and (isinstance(part, nn.Linear) or part.groups == 1)
        ]
        if not holders:
            raise InputError(
                "linear or convolutional layers inside the backbone",
                type(model.backbone).__name__,
                "choose another model or another method",
            )
        deformed: dict[Layer, nn.Sequential] = {}
        for module, name, layer in holders:
            if layer not in deformed:  # a layer may be used in several places
                deformed[layer] = self._deform_layer(layer)
            setattr(module, name, deformed[layer])
        # It is no longer that architecture: its name or function would promise other weights.
        model.architecture, model.fresh = "", None

    def _deform_layer(self, layer: Layer) -> nn.Sequential:
        """Return the inflated layer, without a bias, and the compensation, with the layer's."""
        inflated, compensation = deform(layer.weight.detach(), self.alpha, self.directions)
        if isinstance(layer, nn.Linear):
            behind: Layer = nn.Linear(layer.out_features, layer.out_features)
        else:
            behind = nn.Conv2d(layer.out_channels, layer.out_channels, 1)
        behind.weight = nn.Parameter(compensation.view_as(behind.weight).to(layer.weight))
        zero = torch.zeros(len(layer.weight)).to(layer.weight)
        behind.bias = nn.Parameter(zero if layer.bias is None else layer.bias.detach())
        layer.weight, layer.bias = nn.Parameter(inflated.to(layer.weight)), None
        return nn.Sequential(layer, behind)


def deform(weight: Tensor, alpha: float, directions: int) -> tuple[Tensor, Tensor]:
    """Return `W~ = U S~ V'` and `C = U S S~^-1 U'` in float64; `C W~ = W`.

    Args:
        weight: `(O, I, ...)`, taken as a matrix with O rows.
        alpha: Factor of the largest singular values.
        directions: How many singular values are multiplied.

    Returns:
        The inflated weight, of the same shape, and the compensation `(O, O)`.
    """
    left, values, right = torch.linalg.svd(weight.double().flatten(1), full_matrices=False)
    factors = torch.ones_like(values)
    factors[:directions] = alpha
    inflated = (left * (values * factors)) @ right
    return inflated.view(weight.shape), (left / factors) @ left.T
