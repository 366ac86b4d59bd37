"""What an attacker does to its images to make more of few: shifts, and mixtures of two."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rootbound.data import Augmentation

AugmentationName = Literal["none", "shift", "mixup"]


def augment(
    name: AugmentationName, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return inputs `(N, *shape)` and targets `(N, C)`, changed at random.

    `shift` moves every image by up to a tenth of its side; `mixup` blends each sample and
    its target with another's (H. Zhang et al., 2018; one weight a batch, uniform).
    What is not an image is not shifted, and tokens are not blended.
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
