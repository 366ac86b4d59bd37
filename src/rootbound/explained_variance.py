"""How well a linear head can do at best, in closed form: for who defends, and for who attacks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def explained_variance(features: Tensor, labels: Tensor, ridge: float) -> Tensor:
    """Return the share of the labels' variance that the optimal ridge head explains.

    Args:
        features: `(N, D)`.
        labels: `(N,)` int64.
        ridge: relative to the mean variance of the features.

    Returns:
        A scalar in [0, 1], differentiable in the features.
    """
    count, dimension = features.shape
    targets = functional.one_hot(labels).to(features.dtype)
    targets = targets - targets.mean(0)
    centred = features - features.mean(0)
    covariance = centred.T @ centred / count
    correlation = centred.T @ targets / count
    with torch.no_grad():
        # The ridge is a constant to the gradient, or shrinking every feature would seem to
        # help; the floor keeps the factor positive definite when all features are equal.
        loading = ridge * covariance.trace() / dimension + 1e-8
        factor = torch.linalg.cholesky(covariance + loading * torch.eye(dimension).to(covariance))
        head = torch.cholesky_solve(correlation, factor)
    # Twice the agreement minus the energy, at the head where this is largest: there the head's
    # own change has no part in the gradient (envelope theorem), so none flows through the solve.
    energy = (head * (covariance @ head)).sum() + loading * head.square().sum()
    explained: Tensor = 2 * (head * correlation).sum() - energy
    return explained / (targets.square().sum() / count)
