"""What fine-tuning may descend: cross-entropy and other losses, and mixed targets."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

LossName = Literal["cross-entropy", "smoothed", "squared", "hinge", "focal"]
SMOOTHING = 0.1


def classification_loss(name: LossName, logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss of logits `(N, C)` against targets `(N, C)` that sum to 1.

    `smoothed` is cross-entropy with 10 % of the target spread over all classes; `squared`
    the squared distance to the targets; `hinge` multi-class with margin 1 (K. Crammer,
    Y. Singer, 2001); `focal` weighs by `(1 - p)^2` (T. Lin et al., 2017).
    """
    if name == "squared":
        return (logits - targets).square().sum(dim=1).mean()
    if name == "hinge":
        margins = logits + 1.0 - targets
        worst = margins.max(dim=1).values
        return (worst - (logits * targets).sum(dim=1)).clamp_min(0.0).mean()
    if name == "smoothed":
        targets = (1 - SMOOTHING) * targets + SMOOTHING / logits.shape[1]
    logs = functional.log_softmax(logits, dim=1)
    if name == "focal":
        return -((1 - logs.exp()).square() * targets * logs).sum(dim=1).mean()
    return -(targets * logs).sum(dim=1).mean()


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return labels `(N,)` as targets `(N, C)`."""
    return torch.zeros(len(labels), classes).scatter_(1, labels.unsqueeze(1), 1.0)
