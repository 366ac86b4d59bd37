"""The loss that is left once logits are mixed in the best bounded way."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.core.devices import in_full


def recalibrated_loss(logits: Tensor, labels: Tensor, iterations: int = 100) -> Tensor:
    """Return the mean over K sets of logits of `min_W CE(z W)`, W in `[-1, 1]^(C x C)`.

    At most `log C`, which `W = 0` reaches: a network cannot look bad by a permutation or a
    sign that any head would undo. The problem is convex. Where it is solved, W's own change
    has no part in the gradient (envelope theorem), so none flows through the solver.

    Args:
        logits: `(K, N, C)`.
        labels: `(N,)` int64.
        iterations: of projected gradient descent with acceleration (A. Beck, M. Teboulle,
            "A Fast Iterative Shrinkage-Thresholding Algorithm", 2009).

    Returns:
        A scalar, differentiable in the logits.
    """
    with in_full(logits) as full:
        return _recalibrated(full, labels, iterations)


def _recalibrated(logits: Tensor, labels: Tensor, iterations: int) -> Tensor:
    sets, count, classes = logits.shape
    with torch.no_grad():
        targets = functional.one_hot(labels, classes).to(logits.dtype)
        # Half the largest eigenvalue bounds the curvature of the cross-entropy.
        curvature = torch.linalg.matrix_norm(logits, 2).square() / (2 * count)
        step = 1 / curvature.clamp_min(1e-12)[:, None, None]
        mixing = ahead = logits.new_zeros(sets, classes, classes)
        for done in range(iterations):
            residual = (logits @ ahead).softmax(-1) - targets
            moved = (ahead - step * (logits.mT @ residual) / count).clamp(-1, 1)
            ahead = moved + done / (done + 3) * (moved - mixing)
            mixing = moved
    mixed = (logits @ mixing).flatten(0, 1)
    return functional.cross_entropy(mixed, labels.repeat(sets))
