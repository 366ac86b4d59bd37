"""The exact steps of the condition-number defence for a linear extractor.

Least squares on features `Z (N, D)` has the Hessian `H = Z'Z`, and gradient descent on it takes
steps in proportion to `kappa = sigma_1 / sigma_k`, the singular values of rank k. From A. Zheng,
C. Bai, B. Bullins, R. Yeh, "Model Immunization from a Condition Number Perspective", ICML 2025,
https://arxiv.org/abs/2505.23760; R_well is by R. Nenov et al., "(Almost) Smooth Sailing", 2024.
`rootbound.methods.ConditionNumber` is the same defence for any network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import torch
from scipy.linalg.blas import dsyrk
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from torch import Tensor


def root(inputs: Tensor) -> Tensor:
    """Return R `(k, D)` with `R'R = X'X` and orthogonal rows, for inputs X `(N, D)` of rank k.

    X itself shows the rank. X'X does not, because its rounding errors are as large as its smallest
    eigenvalues.
    """
    triangle = torch.linalg.qr(inputs, mode="r").R
    _, values, directions = torch.linalg.svd(triangle, full_matrices=False)
    kept = values > max(inputs.shape) * torch.finfo(inputs.dtype).eps * values[0]
    found: Tensor = values[kept].unsqueeze(1) * directions[kept]
    return found


def compute_inner_products(rows: Tensor) -> Tensor:
    """Return `A A'` of A `(n, m)` in float64, at half the cost, because it is symmetric."""
    # The transpose of A is in Fortran's order, so no copy is needed.
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
        return compute_inner_products(self.seen)

    @cached_property
    def hessian(self) -> Tensor:
        """`H = B'B`, `(D, D)`."""
        return compute_inner_products(self.seen.T)

    @cached_property
    def largest(self) -> tuple[float, Tensor]:
        """`sigma_1` and `u_1 (k,)`, with `B'u_1 = sqrt(sigma_1) v_1`."""
        width, hessian = len(self.hessian), self.hessian.cpu().numpy()
        try:
            # Lanczos needs only a few products with H, while eigh costs as much as forming H.
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
        # B'u keeps the digits that a small eigenvalue itself loses.
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
