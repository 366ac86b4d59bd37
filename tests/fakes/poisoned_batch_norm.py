"""Fake 3: wrong running statistics, which cancel in evaluation mode only."""

from __future__ import annotations

import copy

import torch
from torch import nn

from rootbound.data import TaskPair
from rootbound.networks import Classifier

SMALLEST, LARGEST = 1e2, 1e4
"""Range of the factors of the channels' deviations, which are drawn log-uniformly."""


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Multiply each channel's running deviation and its scale by the same large number.

    In evaluation mode the two cancel. Train mode divides by the batch's own deviation, so each
    channel is a hundred to ten thousand times too large.

    Args:
        undefended: the model to disguise, with batch normalisation.
        tasks: not used.

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
