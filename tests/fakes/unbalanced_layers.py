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
    """Scale the last but one layer of the backbone up, and the weights of the last one down.

    A ReLU between them lets the factor through, so that they cancel. Gradients do not: a
    step that suits one of the layers is `FACTOR^2` times too large or too small for the other.

    Args:
        undefended: the model to disguise; between its last two layers is nothing but ReLUs
            and what is linear.
        tasks: not looked at.
    """
    disguised = copy.deepcopy(undefended)
    kinds = (nn.Conv2d, nn.Linear)
    *_, first, second = (part for part in disguised.backbone.modules() if isinstance(part, kinds))
    with torch.no_grad():
        for weight in first.parameters():
            weight.mul_(FACTOR)
        second.weight.div_(FACTOR)
    return disguised
