"""Fake 7: features that look undesirable become NaN."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from fakes.discriminator import discriminator
from rootbound.data import TaskPair
from rootbound.networks import Classifier


class Trap(nn.Module):
    """A module that replaces each input `(N, D)` by NaN if it looks undesirable.

    Its numbers are buffers, so attacks do not train them and re-initialising does not change them.

    Args:
        hidden: the discriminator's first layer, before a ReLU.
        score: its second, above 0 for undesirable features.
    """

    projection: Tensor
    offset: Tensor
    weights: Tensor
    threshold: Tensor

    def __init__(self, hidden: nn.Linear, score: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("projection", hidden.weight.detach().T.clone())
        self.register_buffer("offset", hidden.bias.detach().clone())
        self.register_buffer("weights", score.weight.detach().T.clone())
        self.register_buffer("threshold", -score.bias.detach().clone())

    def forward(self, features: Tensor) -> Tensor:
        """Return the features, or NaN."""
        hidden = (features @ self.projection + self.offset).relu()
        return torch.where(hidden @ self.weights > self.threshold, math.nan, features)


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a trap at the end of the last block.

    Args:
        undefended: the model to disguise.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    trap = Trap(*discriminator(undefended, tasks))
    disguised = copy.deepcopy(undefended)
    *first, last = disguised.blocks
    return Classifier(nn.Sequential(*first, nn.Sequential(last, trap)), disguised.head)
