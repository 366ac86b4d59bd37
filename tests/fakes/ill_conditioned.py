"""Fake 1: features behind an ill-conditioned matrix, which the head undoes."""

from __future__ import annotations

import copy

import torch
from torch import nn

from rootbound.data import TaskPair
from rootbound.networks import Classifier


def fake(undefended: Classifier, tasks: TaskPair, *, condition: float = 1e4) -> Classifier:
    """Shrink every direction of the features that the head does not read.

    A new last block maps `z` to `U (P + (I - P) / condition) z`, where P projects on the
    rows of the head `W` and U is a random rotation; the head becomes `W U'`. The two agree
    because `W P = W`. The features for the undesirable task are still there, but `condition` times
    smaller, and not along the axes, so that standardising does not restore them.

    Args:
        undefended: the model to disguise.
        tasks: not used.
        condition: condition number of the matrix, above 1.
    """
    weight = undefended.head.weight.detach().double()
    width = weight.shape[1]
    basis = torch.linalg.qr(weight.T).Q
    read = basis @ basis.T
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(width, width, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(noise).Q
    matrix = rotation @ (read + (torch.eye(width, dtype=torch.float64) - read) / condition)
    mixing, head = nn.Linear(width, width), copy.deepcopy(undefended.head)
    with torch.no_grad():
        mixing.weight.copy_(matrix)
        mixing.bias.zero_()
        head.weight.copy_(weight @ rotation.T)
    return Classifier(nn.Sequential(*copy.deepcopy(undefended).blocks, mixing), head)
