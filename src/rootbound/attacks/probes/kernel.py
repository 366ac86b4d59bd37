"""Kernel ridge regression: what is near in feature space has the same label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.base import Snapshot
from rootbound.attacks.budget import Attacker
from rootbound.attacks.probes.coordinates import (
    Coordinates,
    CoordinatesName,
    find_supported_coordinates,
)
from rootbound.attacks.probes.probe import Probe
from rootbound.core.fields import PositiveFloat, PositiveInt
from rootbound.networks import Classifier


@dataclass(frozen=True)
class KernelRidge(Probe):
    """Regress one-hot labels with a Gaussian kernel: `A = (K + penalty I)^-1 Y`.

    `K_ij = exp(-|z_i - z_j|^2 / (2 s^2))` with features z of unit variance and s = `width`
    times the median distance. The cost is a third of the cube of the samples: 9 GFLOP for 3000.

    Args:
        width: of the kernel, relative to the median distance, above 0.
        penalty: above 0.
        samples: at most so many are used, drawn at random.
        coordinates: of the features: `standardised`, or `whitened` where there are more samples
            than features.
    """

    width: PositiveFloat = 0.5
    penalty: PositiveFloat = 1e-2
    samples: PositiveInt = 3000
    coordinates: CoordinatesName = "standardised"

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the regression once."""
        order = torch.randperm(len(attacker.train), generator=attacker.generator)[: self.samples]
        features = attacker.train.inputs[order]
        targets = functional.one_hot(attacker.train.labels[order], model.classes).double()
        coordinates = find_supported_coordinates(features, self.coordinates)
        samples = coordinates(features)
        median = float(functional.pdist(samples).median())
        scale = self.width * (median if median > 0 else 1.0)
        kernel = (-0.5 * (torch.cdist(samples, samples) / scale).square()).exp()
        kernel.diagonal().add_(self.penalty)
        offset = targets.mean(0)
        weights = torch.cholesky_solve(targets - offset, torch.linalg.cholesky(kernel))
        regression = _KernelRegression(coordinates, samples, 10 * weights, 10 * offset, scale)
        yield Snapshot(0, regression, flops=len(order) ** 3 / 3 + coordinates.flops)


class _KernelRegression(nn.Module):
    """Features `(N, D)` to logits `(N, C)`, ten times the regression's values."""

    samples: Tensor
    weights: Tensor
    offset: Tensor

    def __init__(
        self, coordinates: Coordinates, samples: Tensor, weights: Tensor, offset: Tensor,
        scale: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.coordinates = coordinates
        self.register_buffer("samples", samples)
        self.register_buffer("weights", weights)
        self.register_buffer("offset", offset)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Return logits `(N, C)`."""
        distances = torch.cdist(self.coordinates(features), self.samples)
        kernel = (-0.5 * (distances / self.scale).square()).exp()
        return kernel @ self.weights + self.offset
