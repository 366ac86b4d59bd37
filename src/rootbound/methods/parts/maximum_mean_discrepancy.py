"""How far two samples of vectors are apart as distributions."""

from __future__ import annotations

import torch
from torch import Tensor

SCALES = 5
"""Kernels of 1/4, 1/2, 1, 2 and 4 times the bandwidth, as in the papers that use this."""


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
    samples = torch.cat([first.flatten(1), second.flatten(1)])
    # Distances do not depend on the origin, and rounding is least where norms are small.
    samples = samples - samples.detach().mean(0)
    products = samples @ samples.T
    norms = products.diagonal()
    distances = (norms[:, None] + norms - 2 * products).clamp_min(0)
    count = len(samples)
    bandwidth = distances.detach().sum() / (count * (count - 1))
    # Where all samples are the same, any width is right as long as gradients stay finite.
    width = (4 * bandwidth).clamp_min(torch.finfo(distances.dtype).tiny ** 0.5)
    kernel = torch.exp(-distances / width)
    # The same sign for pairs within a sample and the other one for pairs across.
    sides = samples.new_full((count,), 1 / len(first))
    sides[len(first) :] = -1 / len(second)
    total = sides @ kernel @ sides
    for _ in range(SCALES - 1):
        kernel = kernel.square()
        total = total + sides @ kernel @ sides
    return total
