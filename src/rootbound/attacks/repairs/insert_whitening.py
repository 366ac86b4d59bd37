"""InsertWhitening: a layer that whitens the features, put before the head."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import list_parts
from rootbound.attacks.repairs.repair import Repair
from rootbound.core.fields import NonNegativeFloat
from rootbound.networks import Classifier
from rootbound.training import predict

WIDEST = 2048
"""Most features that are decomposed; wider ones would take minutes."""
ENOUGH = 10
"""Samples per feature that are enough; with fewer, unlabelled inputs are used as well."""
ROUNDING = torch.finfo(torch.float32).eps
"""Directions with less than this share of the largest singular value are rounding errors."""
FINE_ROUNDING = 1e-12
"""The same where a last linear layer is computed in float64."""


@dataclass(frozen=True)
class InsertWhitening(Repair):
    """Features `z` become `(z - mean) T`, whose covariance is the identity.

    `T = diag(1 / deviation) V diag(1 / s)` from a float64 singular value decomposition of the
    standardised features on the attacker's inputs, without their labels. T is invertible
    (constant directions are passed on as they are) and the given head is multiplied by its
    inverse, so that the function stays the same. Mean and T are computed once and not trained. If
    the backbone ends in a linear layer, they are merged into it and trained with it: otherwise T
    would multiply the steps of an ill-conditioned layer.

    Args:
        floor: Directions below this share of the largest deviation are stretched as if they were
            that large; 0 whitens everything above rounding errors. A step of fine-tuning also moves
            the features along the weakest direction, and T multiplies that by up to 1 / `ROUNDING`.
            So with 0 the loss may rise to hundreds, by an amount that depends on rounding, before
            it falls after ten steps or so.
    """

    floor: NonNegativeFloat = 0.0

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the features are few enough to be decomposed."""
        return model.head.in_features <= WIDEST

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with the layer at the end of its last block."""
        last = _find_linear_end(model.backbone)
        features = _compute_features(model, last, attacker)
        kept = ROUNDING if last is None else FINE_ROUNDING
        mean, forth, back = find_whitening(features, self.floor, kept)
        head = model.head
        bias = 0.0 if head.bias is None else head.bias.detach().double()
        whole = nn.Linear(head.in_features, head.out_features)
        with torch.no_grad():
            weight = head.weight.double()
            whole.weight.copy_(weight @ back.T)
            whole.bias.copy_(weight @ mean + bias)
        if last is not None:
            _fold(last, mean, forth)
            return Classifier(model.backbone, whole)
        return Classifier(_append(model.backbone, Whitening(mean, forth)), whole)


class Whitening(nn.Module):
    """`(z - mean) T` in float64, the result in the precision of `z`."""

    mean: Tensor
    basis: Tensor

    def __init__(self, mean: Tensor, basis: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("basis", basis)

    def forward(self, features: Tensor) -> Tensor:
        """Return the whitened features `(N, D)`."""
        return ((features.double() - self.mean) @ self.basis).to(features.dtype)


def find_whitening(features: Tensor, floor: float, kept: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean `(D,)`, T `(D, D)` and its inverse, of features in float64.

    Directions below the share `kept` of the largest are left as they are.
    """
    mean = features.mean(dim=0)
    centred = features - mean
    deviation = centred.square().mean(dim=0).sqrt()
    deviation = torch.where(deviation > 0, deviation, 1.0)
    # The triangular factor has the same directions, and is at most D rows high.
    triangle = torch.linalg.qr(centred / deviation, mode="r").R
    _, singular, directions = torch.linalg.svd(triangle, full_matrices=True)
    spread = torch.zeros_like(mean)
    spread[: len(singular)] = singular / len(features) ** 0.5
    largest = float(spread[0])
    stretch = torch.where(spread > kept * largest, spread.clamp_min(floor * largest), 1.0)
    forth = directions.T / stretch / deviation.unsqueeze(1)
    back = stretch.unsqueeze(1) * directions * deviation
    return mean, forth, back


def _find_linear_end(backbone: nn.Module) -> nn.Linear | None:
    """Return the linear layer that the backbone ends in, used nowhere else."""
    parts = list_parts(backbone)
    last = parts[-1] if parts else None
    alone = sum(part is last for part in parts) == 1
    return last if type(last) is nn.Linear and alone else None


def _compute_features(model: Classifier, last: nn.Linear | None, attacker: Attacker) -> Tensor:
    """Return features `(N, D)` of the training inputs; if these are few, of unlabelled ones too.

    A last linear layer is computed in float64: float32 would round its weak directions away.
    """
    wanted = ENOUGH * model.head.in_features - len(attacker.train)
    data = [attacker.train]
    if attacker.unlabelled is not None and wanted > 0:
        data.append(attacker.unlabelled.subset(wanted))
    with contextlib.ExitStack() as hooks:
        if last is not None:
            hooks.callback(last.register_forward_hook(_compute_in_float64).remove)
        return torch.cat([predict(model.backbone, part).double() for part in data])


def _compute_in_float64(layer: nn.Linear, arguments: tuple[Tensor, ...], _: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.double()
    return functional.linear(arguments[0].double(), layer.weight.double(), bias)


def _fold(last: nn.Linear, mean: Tensor, forth: Tensor) -> None:
    """Merge the whitening of a linear layer's outputs into the layer."""
    bias = 0.0 if last.bias is None else last.bias.detach().double()
    last.bias = nn.Parameter((forth.T @ (bias - mean)).to(last.weight.dtype))
    with torch.no_grad():
        last.weight.copy_(forth.T @ last.weight.double())


def _append(backbone: nn.Module, layer: nn.Module) -> nn.Module:
    """Return the backbone with a layer at the end of its last block."""
    if isinstance(backbone, nn.Sequential) and len(backbone):
        *first, end = backbone
        return nn.Sequential(*first, nn.Sequential(end, layer))
    return nn.Sequential(backbone, layer)
