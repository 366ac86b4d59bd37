"""Fake 4: one layer a million times too large, and the next a million times too small."""

from __future__ import annotations

import copy

import torch
from torch import nn

from rootbound.data import TaskPair
from rootbound.networks import Classifier

FACTOR = 2.0**20
"""About a million; a power of two, so that nothing is rounded."""


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Scale the second to last layer of the backbone up, and the weights of the last one down.

    A ReLU between them keeps the factor, so the two cancel. Gradients do not cancel: a step that
    suits one layer is `FACTOR^2` times too large or too small for the other.

    Args:
        undefended: the model to disguise; between its last two layers there are only ReLUs and
            linear modules.
        tasks: not used.
    """
    disguised = copy.deepcopy(undefended)
    kinds = (nn.Conv2d, nn.Linear)
    *_, first, second = (part for part in disguised.backbone.modules() if isinstance(part, kinds))
    with torch.no_grad():
        for weight in first.parameters():
            weight.mul_(FACTOR)
        second.weight.div_(FACTOR)
    return disguised
