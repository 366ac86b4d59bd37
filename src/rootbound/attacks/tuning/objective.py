"""The objective of fine-tuning: augmented samples, mixed targets, and a loss."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.data import Augmentation

AugmentationName = Literal["none", "shift", "mixup"]
LossName = Literal["cross-entropy", "smoothed", "squared", "hinge", "focal"]
SMOOTHING = 0.1


def augment(
    name: AugmentationName, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return inputs `(N, *shape)` and targets `(N, C)`, changed at random.

    `shift` moves every image by up to a tenth of its side; `mixup` blends each sample and
    its target with another's (H. Zhang et al., 2018; one weight a batch, uniform).
    Only images are shifted, and tokens are not blended.
    """
    if name == "shift":
        reach = max(1, round(0.1 * max(inputs.shape[2:], default=0)))
        return Augmentation(reach)(inputs, generator), targets
    if name == "mixup" and inputs.is_floating_point():
        order = torch.randperm(len(inputs), generator=generator)
        weight = 0.5 + 0.5 * float(torch.rand((), generator=generator))
        return (
            weight * inputs + (1 - weight) * inputs[order],
            weight * targets + (1 - weight) * targets[order],
        )
    return inputs, targets


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
