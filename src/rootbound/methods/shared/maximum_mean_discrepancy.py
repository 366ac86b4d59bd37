"""The distance between the distributions of two samples of vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SCALES = 5
"""Kernels of 1/4, 1/2, 1, 2 and 4 times the bandwidth, as in the papers that use this."""


class _Discrepancy(torch.autograd.Function):
    """The squared MMD of the first rows and the others; its gradient is one product of matrices.

    With `W = d MMD / d distances (n, n)`, which is symmetric, the gradient with respect to the
    samples `X (n, D)` is `4 (diag(W 1) - W) X`.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        samples, count = torch.cat([first, second]), len(first) + len(second)
        # Distances do not depend on the origin, and rounding is least where norms are small.
        samples.sub_(samples.mean(0))
        products = samples @ samples.T
        norms = products.diagonal()
        distances = (norms[:, None] + norms).sub_(products, alpha=2).clamp_min_(0)
        # If all samples are the same, any width will do as long as gradients stay finite.
        width = 4 * distances.sum() / (count * (count - 1))
        width = width.clamp_min(torch.finfo(samples.dtype).tiny ** 0.5)
        kernel = distances.div_(-width).exp_()
        total, slope = kernel.clone(), kernel.clone()
        for power in range(1, SCALES):
            kernel = kernel.square()
            total.add_(kernel)
            slope.add_(kernel, alpha=2**power)
        # Pairs within a sample have one sign, and pairs across samples the other.
        sides = samples.new_full((count,), 1 / len(first))
        sides[len(first) :] = -1 / len(second)
        slope = slope.mul_(sides[:, None]).mul_(sides).mul_(-4 / width)
        ctx.save_for_backward(torch.diag(slope.sum(1)).sub_(slope), samples)
        ctx.sizes = len(first), len(second)
        return sides @ total @ sides

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        slope, samples = ctx.saved_tensors
        first, second = ((gradient * slope) @ samples).split(ctx.sizes)
        return first, second


def maximum_mean_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Return the squared MMD under a sum of five Gaussian kernels, from 0 to 10.

    `mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`, over all pairs (the biased estimate),
    with `k(x, y) = sum_s exp(-||x - y||^2 / (s b))`, `s` in {1/4, 1/2, 1, 2, 4} and `b` the
    mean squared distance of distinct samples of both together, through which no gradient
    flows (A. Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, Eq. 5; M. Long et al.,
    "Learning Transferable Features with Deep Adaptation Networks", ICML 2015).

    Distances come from one product of matrices, `||x||^2 + ||y||^2 - 2 x'y`: nothing of size
    `N x N x D` is ever made. Only the widest kernel is an exponential: squaring it gives the
    next.

    Args:
        first: `(N, ...)`, flattened.
        second: `(M, ...)`, flattened; for a distance from noise, a sample of that noise.
    """
    discrepancy: Tensor = _Discrepancy.apply(first.flatten(1), second.flatten(1))
    return discrepancy
