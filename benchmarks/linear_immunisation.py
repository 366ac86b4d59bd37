"""Four ways to immunise a linear extractor of MNIST; `condition_number_table.py` compares them.

An extractor `x' theta`, theta `(784, 784)` in float64, is to leave the Hessian of least squares on
one digit's images (primary) well-conditioned and that on another's (harmful) ill-conditioned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

import rootbound as rb
from rootbound.methods.parts.condition import LinearHessian, root

WIDTH, STEPS, RATE = 784, 30, 0.005
FIRST = {"R_ill only": 0.5, "IMMA": 0.1, "Opt kappa": 0.05, "theirs": 0.5}
"""Norm of each regulariser's first change of theta, where the identity's singular values are 1.

This settles lambda, which the paper does not give; it balances the norms of gradients, as here.
"""

Gradient = Callable[[Tensor], list[Tensor]]
"""What theta descends: a part for each regulariser."""


@cache
def digits(part: str) -> tuple[Tensor, Tensor]:
    """Return images `(N, 784)` in float64, scaled as the authors do, and labels."""
    inputs, labels = getattr(rb.datasets.mnist(), part).batch(slice(None))
    return inputs.flatten(1).double(), labels


@cache
def covariance(digit: int) -> tuple[Tensor, Tensor]:
    """Return R with `R'R = X'X` and `X'1` over a digit's training images."""
    inputs, labels = digits("train")
    own = inputs[labels == digit]
    return root(own), own.sum(0)


def r_ill_only(_: int, harmful: int) -> Gradient:
    """Plain gradient descent on R_ill alone."""

    def gradient(theta: Tensor) -> list[Tensor]:
        hessian = LinearHessian(covariance(harmful)[0], theta)
        return [hessian.gradient(hessian.ill_direction())]

    return gradient


def imma(_: int, harmful: int, inner: int = 10) -> Gradient:
    """Bilevel: a probe is fitted to the harmful digit, then the extractor ascends its loss.

    Least squares on the digit's own label, 1, from 0, by steps with exact line search; the
    derivative is first order (A. Zheng, R. Yeh, "IMMA", ECCV 2024).
    """
    factor, target = covariance(harmful)

    def gradient(theta: Tensor) -> list[Tensor]:
        probe, seen = torch.zeros(WIDTH, dtype=theta.dtype), factor @ theta
        for _ in range(inner):
            slope = seen.T @ (seen @ probe) - theta.T @ target
            probe = probe - slope * (slope @ slope) / (seen @ slope).square().sum()
        return [torch.outer(target - factor.T @ (seen @ probe), probe)]

    return gradient


def opt_kappa(primary: int, harmful: int) -> Gradient:
    """Plain gradient descent on what the regularisers bound: `log kappa_P + 1 / log kappa_H`."""

    def slope(digit: int, theta: Tensor) -> tuple[Tensor, float]:
        """Return the gradient of log kappa, and log kappa."""
        hessian = LinearHessian(covariance(digit)[0], theta)
        (first, high), (last, low) = hessian.largest, hessian.smallest
        # K theta v v' / sigma = (R'u) (B'u)' / sigma: never K times what is small.
        rows = [torch.outer(hessian.root.T @ u, hessian.seen.T @ u) for u in (high, low)]
        return 2 * (rows[0] / first - rows[1] / last), math.log(first / last)

    def gradient(theta: Tensor) -> list[Tensor]:
        (lowered, _), (raised, logarithm) = slope(primary, theta), slope(harmful, theta)
        return [lowered - raised / logarithm**2]

    return gradient


def theirs(primary: int, harmful: int) -> Gradient:
    """Algorithm 1: both regularisers, each preconditioned by its covariance."""

    def gradient(theta: Tensor) -> list[Tensor]:
        good, bad = (LinearHessian(covariance(digit)[0], theta) for digit in (primary, harmful))
        return [good.step(good.well_direction()), bad.step(bad.ill_direction())]

    return gradient


METHODS = {"R_ill only": r_ill_only, "IMMA": imma, "Opt kappa": opt_kappa, "theirs": theirs}


def immunise(primary: int, harmful: int, method: str) -> tuple[Tensor, list[float]]:
    """Return the extractor after `STEPS` full-data steps from the identity, and each lambda."""
    theta = torch.eye(WIDTH, dtype=torch.float64)
    gradient = METHODS[method](primary, harmful)
    weights: list[float] = []
    for _ in range(STEPS):
        parts = gradient(theta)
        weights = weights or [FIRST[method] / RATE / float(part.norm()) for part in parts]
        for weight, part in zip(weights, parts, strict=True):
            theta = theta - RATE * weight * part
    return theta, weights


@cache
def spectrum(digit: int) -> Tensor:
    """Return the eigenvalues above 0 of a digit's Hessian without an extractor."""
    values: Tensor = torch.linalg.svdvals(covariance(digit)[0]).square()
    return values


def rises(digit: int, theta: Tensor) -> tuple[float, float]:
    """Return by what factors a digit's kappa and its largest eigenvalue rose."""
    before, after = spectrum(digit), torch.linalg.svdvals(covariance(digit)[0] @ theta).square()
    largest = float(after[0] / before[0])
    return largest * float(before[-1] / after[-1]), largest
