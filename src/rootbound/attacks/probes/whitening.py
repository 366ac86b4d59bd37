"""Coordinates in which scale and mixture of features hide nothing: standardised, whitened."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Coordinates = Literal["whitened", "standardised"]

KEPT = 1e-12
"""Directions with less than this share of the largest singular value are rounding errors."""


def coordinates(features: Tensor, kind: str, kept: float = KEPT) -> tuple[Tensor, Tensor]:
    """Return the mean `(D,)` and the map `(D, R)` to coordinates of unit variance.

    Args:
        features: `(N, D)`, float64.
        kind: `whitened`, or `standardised` (each feature by itself).
        kept: whitened directions with less than this share of the largest singular value are
            left out.
    """
    mean = features.mean(dim=0)
    centred = features - mean
    # Without temporaries: at hundreds of features each would take as much memory again.
    deviation = torch.linalg.vector_norm(centred, dim=0) / len(features) ** 0.5
    alive = deviation > 0
    scale = torch.where(alive, 1.0 / deviation.clamp_min(1e-300), 0.0)
    if not bool(alive.any()):
        # One coordinate that says nothing, so that nobody has to deal with none.
        return mean, torch.zeros(len(mean), 1, dtype=mean.dtype)
    if kind == "standardised":
        return mean, torch.diag(scale)[:, alive]
    # The triangular factor has the same singular values and directions, to the last digits,
    # and the other factor, as tall as there are samples, is not needed.
    triangle = torch.linalg.qr(centred.mul_(scale), mode="r").R
    _, singular, directions = torch.linalg.svd(triangle, full_matrices=False)
    chosen = singular > kept * singular[0]
    stretch = len(features) ** 0.5 / singular[chosen]
    return mean, scale.unsqueeze(1) * directions[chosen].T * stretch


def supported(kind: Coordinates, features: Tensor) -> Coordinates:
    """Return the kind asked for, or `standardised` where whitening would destroy distances.

    With no more samples than features `(N, D)`, whitening puts all of them equally far apart.
    """
    return kind if len(features) > features.shape[1] else "standardised"


def decomposition_flops(features: Tensor) -> float:
    """Return about what `coordinates` costs by whitening `(N, D)`, which torch does not count.

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


def with_bias(inputs: Tensor) -> Tensor:
    """Return `(N, R)` with a column of ones appended."""
    return torch.cat([inputs, torch.ones(len(inputs), 1, dtype=inputs.dtype)], dim=1)
