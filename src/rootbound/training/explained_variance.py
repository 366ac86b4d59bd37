"""How much the optimal linear head explains, in closed form; defenders and attackers use it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.core import distributed
from rootbound.core.devices import at_least_float32

LEAST_UNEXPLAINED = 1e-4
"""Least share of the labels' variance that counts as unexplained."""


def explained_variance(features: Tensor, labels: Tensor, ridge: float) -> Tensor:
    """Return the share of the labels' variance that the optimal ridge head explains.

    Its gradient vanishes where classes are already separated.

    Args:
        features: `(N, D)`.
        labels: `(N,)` int64.
        ridge: The ridge relative to the mean variance of the features.

    Returns:
        A scalar in [0, 1], differentiable in the features.
    """
    total, explained = _compute_covariances(features, labels, ridge)
    return explained.trace() / total.trace()


def linear_information(features: Tensor, labels: Tensor, ridge: float) -> Tensor:
    """Return the information of the optimal ridge head on labels: `-log(Wilks' lambda) / (K - 1)`.

    `(log det T - log det(T - E)) / (K - 1)`, where T is the covariance of K - 1 of the K one-hot
    labels and E the part of it that the head explains. It is proportional to the mutual information
    of features and labels if they were jointly normal, with factor `2 / (K - 1)`. If little is
    explained, it is close to the explained variance; if much is, its gradient grows while that of
    the explained variance vanishes.

    Args:
        features: `(N, D)`.
        labels: `(N,)` int64.
        ridge: The ridge relative to the mean variance of the features.

    Returns:
        A scalar of at least 0, in nats, differentiable in the features.

    Source: S. Wilks, "Certain generalizations in the analysis of variance", Biometrika, 1932.
    """
    total, explained = _compute_covariances(features, labels, ridge)
    # One label follows from the others, and a label that does not occur has no variance.
    present = total.diagonal().nonzero().squeeze(1)[:-1]
    if not len(present):
        return explained.sum() * 0.0
    total = (1 + LEAST_UNEXPLAINED) * total[present][:, present]
    information = torch.logdet(total) - torch.logdet(total - explained[present][:, present])
    return information / len(present)


def _compute_covariances(features: Tensor, labels: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Return the covariance `(K, K)` of the one-hot labels, and the part that the head explains.

    `C' (S + e I)^-1 C` of the covariance S of the features and C of features and labels.
    """
    with at_least_float32(features) as samples:
        # If several processes train together, sums run over the samples of all of them.
        dimension, count = samples.shape[1], distributed.sum_count(len(samples))
        classes, part = distributed.max_count(int(labels.max())) + 1, len(samples) / count
        targets = functional.one_hot(labels, classes).to(samples.dtype)
        # A class that does not occur has no variance; in a vocabulary most do not occur.
        targets = targets[:, distributed.sum_tensor(targets.sum(0)) > 0]
        targets = targets - distributed.sum_tensor(part * targets.mean(0))
        # The centre is also constant for the gradient, because the head's residuals sum to 0.
        centred = samples - distributed.sum_tensor(part * samples.detach().mean(0))
        with torch.no_grad():
            covariance = distributed.sum_tensor(centred.T @ centred / count)
            correlation = distributed.sum_tensor(centred.T @ targets / count)
            # The ridge is constant for the gradient; otherwise shrinking all features would seem to
            # help. The floor keeps the factor positive definite when all features are equal.
            loading = ridge * covariance.trace() / dimension + 1e-8
            loaded = covariance + loading * torch.eye(dimension).to(covariance)
            factor = torch.linalg.cholesky(loaded)
            head = torch.cholesky_solve(correlation, factor)
        # Twice the agreement minus the energy, at the head where this is largest. There the head's
        # own change does not contribute to the gradient (envelope theorem): no gradient flows
        # through the solve or a covariance (D, D), only through the K predictions of each sample.
        predictions = centred @ head
        agreement = distributed.sum_tensor(predictions.T @ targets / count)
        energy = distributed.sum_tensor(predictions.T @ predictions / count)
        energy = energy + loading * (head.T @ head)
        return distributed.sum_tensor(targets.T @ targets / count), agreement + agreement.T - energy
