"""Coordinates in which features cannot hide by scale or by mixing: standardised and whitened."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

CoordinatesName = Literal["whitened", "standardised"]

ROWS = 4096
"""Samples converted to float64 at a time; few, so that they take little memory."""
ROUNDING = 1e-12
"""Directions with less than this share of the largest singular value are rounding errors."""


class Coordinates(nn.Module):
    """Features `(N, D)` of any precision to `(z - mean) basis`, `(N, R)` in float64.

    Args:
        mean: `(D,)`.
        basis: `(D, R)`.
        flops: Approximate operations to find them that torch does not count.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, mean: Tensor, basis: Tensor, flops: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("basis", basis)
        self.flops = flops

    def forward(self, features: Tensor, *, bias: bool = False) -> Tensor:
        """Return features in these coordinates; with a bias, a column of ones is appended."""
        width = self.basis.shape[1]
        transformed = torch.ones(len(features), width + bias, dtype=torch.float64)
        for start in range(0, len(features), ROWS):
            rows = features[start : start + ROWS].double() - self.mean
            transformed[start : start + ROWS, :width] = self.change(rows)
        return transformed

    def change(self, centred: Tensor) -> Tensor:
        """Return centred features in these coordinates."""
        return centred @ self.basis


class Scales(Coordinates):
    """Coordinates that multiply each feature by a number, without a product of matrices.

    Args:
        mean: `(D,)`.
        scale: The numbers `(D,)`; features with 0 are left out.
    """

    alive: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        alive = scale.nonzero().squeeze(1)
        super().__init__(mean, torch.diag(scale)[:, alive])
        self.register_buffer("alive", alive)
        self.register_buffer("scale", scale[alive])

    def change(self, centred: Tensor) -> Tensor:
        """Return centred features in these coordinates."""
        return centred[:, self.alive] * self.scale


def find_coordinates(
    features: Tensor, name: CoordinatesName, kept: float = ROUNDING
) -> Coordinates:
    """Return coordinates in which features have unit variance.

    Args:
        features: `(N, D)`, of any precision.
        name: `whitened`, or `standardised` (each feature by itself).
        kept: Whitened directions with less than this share of the largest singular value are
            left out.
    """
    mean = features.mean(dim=0, dtype=torch.float64)
    energy = torch.zeros_like(mean)
    for rows in features.split(ROWS):
        energy += (rows.double() - mean).square().sum(dim=0)
    deviation = (energy / len(features)).sqrt()
    alive = deviation > 0
    scale = torch.where(alive, 1.0 / deviation.clamp_min(1e-300), 0.0)
    flops = decomposition_flops(features) if name == "whitened" else 0.0
    if not bool(alive.any()):
        # Return one constant coordinate, so that callers never have to handle zero coordinates.
        return Coordinates(mean, torch.zeros(len(mean), 1, dtype=mean.dtype), flops)
    if name == "standardised":
        return Scales(mean, scale)
    _, singular, directions = torch.linalg.svd(
        _find_triangle(features, mean, scale), full_matrices=False
    )
    chosen = singular > kept * singular[0]
    stretch = len(features) ** 0.5 / singular[chosen]
    return Coordinates(mean, scale.unsqueeze(1) * directions[chosen].T * stretch, flops)


def find_supported_coordinates(features: Tensor, name: CoordinatesName) -> Coordinates:
    """Return coordinates of that name, or `standardised` ones where whitening ruins distances.

    With no more samples than features `(N, D)`, whitening puts all of them equally far apart.
    """
    enough = len(features) > features.shape[1]
    return find_coordinates(features, name if enough else "standardised")


def _find_triangle(features: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return the triangular factor `(min(N, D), D)` of the standardised features.

    It has the same singular values and directions, up to rounding. The other factor, with a row for
    each sample, is not needed. The factors of parts of the samples, stacked, have the same factor
    as the whole (J. Demmel et al., "Communication-optimal Parallel and Sequential QR", 2012), so no
    copy of all features in float64 is made.
    """
    triangle = torch.empty(0, features.shape[1], dtype=torch.float64)
    for rows in features.split(max(ROWS, 4 * features.shape[1])):
        part = (rows.double() - mean).mul_(scale)
        triangle = torch.linalg.qr(torch.cat([triangle, part]), mode="r").R
    return triangle


def decomposition_flops(features: Tensor) -> float:
    """Return the approximate operations to whiten features `(N, D)`, which torch does not count.

    `2 n m^2 + 11 m^3` with m the smaller of N and D and n the larger: the triangular factor,
    then its singular values and directions (G. Golub, C. Van Loan, "Matrix Computations").
    """
    larger, smaller = max(features.shape), min(features.shape)
    return 2.0 * larger * smaller**2 + 11.0 * smaller**3


def random_rotation(width: int, generator: torch.Generator) -> Tensor:
    """Return an orthogonal matrix `(R, R)` in float64, all of them equally likely.

    The sign of R's diagonal makes the QR decomposition unique (F. Mezzadri, "How to Generate
    Random Matrices from the Classical Compact Groups", 2007, section 5).
    """
    entries = torch.randn(width, width, generator=generator, dtype=torch.float64)
    orthogonal, triangle = torch.linalg.qr(entries)
    rotation: Tensor = orthogonal * triangle.diagonal().sign()
    return rotation
