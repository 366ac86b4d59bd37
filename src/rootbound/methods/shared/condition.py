"""The condition number of a last layer's problem: losses that lower and raise it.

Least squares on features `Z (N, D)` has the Hessian `H = Z'Z`, and gradient descent on it takes
steps in proportion to `kappa = sigma_1 / sigma_k`, the singular values of rank k. From A. Zheng,
C. Bai, B. Bullins, R. Yeh, "Model Immunization from a Condition Number Perspective", ICML 2025,
https://arxiv.org/abs/2505.23760; R_well is by R. Nenov et al., "(Almost) Smooth Sailing", 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
import torch
from scipy.linalg.blas import dsyrk
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from torch import Tensor

FLOOR = 1e-18
"""Of what R_ill divides by: where all directions are equal it is flat instead of infinite."""


def well(matrix: Tensor) -> Tensor:
    """Return `R_well(S) = sigma_1^2 / 2 - |S|_F^2 / (2 p)`, 0 where all sigma are equal.

    The gradient is `sigma_1 u_1 v_1' - S / p` (equation 3).

    Args:
        matrix: S `(rows, columns)`; p is the smaller of the two.
    """
    largest, _, _ = _extremes(matrix)
    return 0.5 * (largest.square() - matrix.square().sum() / min(matrix.shape))


def ill(matrix: Tensor) -> Tensor:
    """Return `R_ill(S) = 1 / (|S|_F^2 / (2 k) - sigma_k^2 / 2)`, which is 0 at kappa = infinity.

    The gradient is `R_ill^2 (sigma_k u_k v_k' - S / k)` (equations 12 and 13).

    Args:
        matrix: S `(rows, columns)` of rank k.
    """
    _, smallest, rank = _extremes(matrix)
    return 1 / (0.5 * (matrix.square().sum() / rank - smallest.square())).clamp_min(FLOOR)


def _extremes(matrix: Tensor) -> tuple[Tensor, Tensor, int]:
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
        found: Tensor = torch.cholesky_solve(gradients[0].T, factor).T
        return found, None


def preconditioned(features: Tensor, ridge: float = 1e-3) -> Tensor:
    """Return the features; gradients through them are multiplied by their inverse covariance.

    This is the paper's dummy layer (section 4.4, appendix C.3).

    Args:
        features: Z `(N, D)`; the covariance is `Z'Z / N`.
        ridge: added to it, relative to its mean eigenvalue.
    """
    found: Tensor = _Preconditioned.apply(features, ridge)
    return found


def root(inputs: Tensor) -> Tensor:
    """Return R `(k, D)` with `R'R = X'X` and orthogonal rows, for inputs X `(N, D)` of rank k.

    The rank shows in X itself; in X'X, whose rounding errors are as large as its smallest
    eigenvalues, it does not.
    """
    triangle = torch.linalg.qr(inputs, mode="r").R
    _, values, directions = torch.linalg.svd(triangle, full_matrices=False)
    kept = values > max(inputs.shape) * torch.finfo(inputs.dtype).eps * values[0]
    found: Tensor = values[kept].unsqueeze(1) * directions[kept]
    return found


def inner_products(rows: Tensor) -> Tensor:
    """Return `A A'` of A `(n, m)` in float64, for half the price: it is symmetric."""
    # Transposed, A is as Fortran stores it, and need not be copied.
    upper = dsyrk(1.0, rows.contiguous().cpu().numpy().T, trans=True)
    return torch.from_numpy(upper + np.triu(upper, 1).T).to(rows.device)


@dataclass(frozen=True, eq=False)
class LinearHessian:
    """`H = theta' K theta` for a linear extractor `x' theta`, and steps that condition it.

    The steps are those of Algorithm 1, `K^-1 grad R(H)`. The inverse is never formed: the
    gradient is `2 K theta M` (Theorem 4.2), so that it cancels, and the step is `2 theta M`.
    Directions M of several Hessians can be added first, for one product with theta.

    Args:
        root: R `(k, D)`, `K = R'R`, in float64.
        theta: `(D, D)`, invertible.
    """

    root: Tensor
    theta: Tensor

    @cached_property
    def seen(self) -> Tensor:
        """`B = R theta (k, D)`: H is `B'B`, and `BB'` has the same eigenvalues but the zeros."""
        return self.root @ self.theta

    @cached_property
    def gram(self) -> Tensor:
        """`BB' (k, k)`."""
        return inner_products(self.seen)

    @cached_property
    def hessian(self) -> Tensor:
        """`H = B'B`, `(D, D)`."""
        return inner_products(self.seen.T)

    @cached_property
    def largest(self) -> tuple[float, Tensor]:
        """`sigma_1` and `u_1 (k,)`, with `B'u_1 = sqrt(sigma_1) v_1`."""
        width, hessian = len(self.hessian), self.hessian.cpu().numpy()
        try:
            # Lanczos needs some products with H where all of eigh costs as much as forming it.
            _, found = eigsh(hessian, 1, which="LA", v0=np.ones(width))
        except ArpackNoConvergence:
            _, found = scipy.linalg.eigh(hessian, subset_by_index=[width - 1] * 2)
        left = self.seen @ torch.from_numpy(found[:, 0]).to(self.root.device)
        return float(left.square().sum()), left / left.norm()

    @cached_property
    def smallest(self) -> tuple[float, Tensor]:
        """`sigma_k` and `u_k (k,)`, with `B'u_k = sqrt(sigma_k) v_k`."""
        _, found = scipy.linalg.eigh(self.gram.cpu().numpy(), subset_by_index=[0, 0])
        left = torch.from_numpy(found[:, 0]).to(self.root.device)
        # B'u has the digits that the eigenvalue itself loses where it is small.
        return float((self.seen.T @ left).square().sum()), left

    def well(self) -> float:
        """Return `R_well(H)`."""
        return 0.5 * (self.largest[0] ** 2 - float(self.hessian.square().sum() / len(self.theta)))

    def ill(self) -> float:
        """Return `R_ill(H)`."""
        spread = float(self.gram.square().sum() / len(self.gram)) - self.smallest[0] ** 2
        return 2 / spread

    def well_direction(self) -> Tensor:
        """Return `M = sigma_1 v_1 v_1' - H / D`, `(D, D)`."""
        return self._direction(self.largest[1], len(self.theta))

    def ill_direction(self) -> Tensor:
        """Return `M = R_ill^2 (sigma_k v_k v_k' - H / k)`, `(D, D)`."""
        return self._direction(self.smallest[1], len(self.gram)) * self.ill() ** 2

    def _direction(self, left: Tensor, divisor: int) -> Tensor:
        along = self.seen.T @ left
        return torch.addr(self.hessian, along, along, beta=-1 / divisor)

    def step(self, direction: Tensor) -> Tensor:
        """Return `K^-1 grad = 2 theta M`, `(D, D)`."""
        return 2 * self.theta @ direction

    def gradient(self, direction: Tensor) -> Tensor:
        """Return the plain gradient `2 K theta M`, `(D, D)`."""
        return 2 * self.root.T @ (self.seen @ direction)
