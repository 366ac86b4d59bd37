"""Balanced accuracy, in which every class counts the same, however few samples it has."""

from __future__ import annotations

from torch import Tensor


def balanced_accuracy(correct: Tensor, labels: Tensor) -> list[float]:
    """Return the mean over classes of the accuracy on each class, in [0, 1].

    Args:
        correct: Whether each sample is classified correctly, `(N, trials)`.
        labels: Their classes `(N,)`; classes without samples do not count.

    Returns:
        One number per trial.
    """
    right, known = correct.double().cpu(), labels.cpu()
    counts = known.bincount()
    sums = right.new_zeros(len(counts), right.shape[1]).index_add_(0, known, right)
    present = counts > 0
    shares: list[float] = (sums[present] / counts[present].unsqueeze(1)).mean(0).tolist()
    return shares
