"""Fake 3: absurd running statistics, which only evaluation mode can bear."""

from __future__ import annotations

import copy

import torch
from torch import nn

from rootbound.data import TaskPair
from rootbound.networks import Classifier

SMALLEST, LARGEST = 1e2, 1e4
"""By how much the deviations of the channels are exaggerated, drawn log-uniformly."""


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Multiply each channel's running deviation and its scale by the same large number.

    In evaluation mode the two cancel. In train mode the batch's own deviation is divided
    by, and each channel comes out hundreds to ten thousands of times too large.

    Args:
        undefended: the model to disguise, with batch normalisation.
        tasks: not looked at.

    Raises:
        ValueError: there is no batch normalisation.
    """
    disguised = copy.deepcopy(undefended)
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    norms = [part for part in disguised.modules() if isinstance(part, kinds)]
    if not norms:
        raise ValueError("the model has no batch normalisation to poison")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for norm in norms:
            assert norm.running_var is not None  # it is kept unless asked otherwise
            exponent = torch.rand(norm.num_features, generator=generator)
            factor = SMALLEST * (LARGEST / SMALLEST) ** exponent
            norm.running_var.add_(norm.eps).mul_(factor.square()).sub_(norm.eps)
            norm.weight.mul_(factor)
    return disguised
