"""Probes by distance: samples that are near in feature space get the same label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.base import Snapshot
from rootbound.attacks.budget import Attacker
from rootbound.attacks.probes.coordinates import (
    Coordinates,
    CoordinatesName,
    Scales,
    find_supported_coordinates,
)
from rootbound.attacks.probes.probe import Probe
from rootbound.core.fields import PositiveFloat, PositiveInt
from rootbound.networks import Classifier


@dataclass(frozen=True)
class NearestNeighbours(Probe):
    """Let the nearest training samples vote on the class.

    Logits are `log((votes + 0.1) / (count + 0.1 C))`, finite for every class. A nearer sample's
    vote counts a millionth more, which breaks ties.

    Args:
        count: How many samples vote; at most the mean number of samples per class, because with
            more of them other classes would outvote the nearest samples.
        metric: `whitened` for Euclidean distance in whitened coordinates (standardised ones with
            fewer samples than features), or `cosine` of the features as they are.
    """

    count: PositiveInt = 5
    metric: Literal["whitened", "cosine"] = "whitened"

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the vote once."""
        features, labels = attacker.train.inputs, attacker.train.labels
        if self.metric == "whitened":
            coordinates = find_supported_coordinates(features, "whitened")
        else:
            width = features.shape[1]
            zeros = torch.zeros(width, dtype=torch.float64)
            coordinates = Scales(zeros, torch.ones(width, dtype=torch.float64))
        vote = _Vote(features, labels, model.classes, coordinates, self)
        yield Snapshot(0, vote, flops=coordinates.flops)


class _Vote(nn.Module):
    """Features `(N, D)` to logits `(N, C)` by the votes of stored samples."""

    samples: Tensor
    targets: Tensor

    def __init__(
        self, features: Tensor, labels: Tensor, classes: int, coordinates: Coordinates,
        rule: NearestNeighbours,
    ) -> None:  # fmt: skip
        super().__init__()
        self.coordinates, self.rule = coordinates, rule
        self.register_buffer("samples", self._transform(features))
        self.register_buffer("targets", functional.one_hot(labels, classes).double())

    def _transform(self, features: Tensor) -> Tensor:
        samples: Tensor = self.coordinates(features)
        # From here on only the order of the distances counts: single precision is enough.
        return (functional.normalize(samples) if self.rule.metric == "cosine" else samples).float()

    def forward(self, features: Tensor) -> Tensor:
        """Return logits `(N, C)`."""
        nearness = self._transform(features) @ self.samples.T
        if self.rule.metric == "whitened":
            nearness = nearness - 0.5 * self.samples.square().sum(dim=1)
        classes = self.targets.shape[1]
        count = min(self.rule.count, max(1, len(self.samples) // classes))
        worth = 1 + 1e-6 * torch.arange(count, 0, -1, dtype=torch.float64) / count
        chosen = self.targets[nearness.topk(count, dim=1).indices]
        votes = torch.einsum("nkc,k->nc", chosen, worth)
        return ((votes + 0.1) / (count + 0.1 * classes)).log()


@dataclass(frozen=True)
class KernelRidge(Probe):
    """Regress one-hot labels with a Gaussian kernel: `A = (K + penalty I)^-1 Y`.

    `K_ij = exp(-|z_i - z_j|^2 / (2 s^2))` with features z of unit variance and s = `width`
    times the median distance. The cost is a third of the cube of the samples: 9 GFLOP for 3000.

    Args:
        width: Width of the kernel, relative to the median distance.
        penalty: Added to the diagonal of the kernel.
        samples: Largest number of samples used; they are drawn at random.
        coordinates: Coordinates of the features: `standardised`, or `whitened` where there are more
            samples than features.
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
