"""Fake 2: a dead zone before the last ReLU removes the features of undesirable inputs."""

from __future__ import annotations

import copy

import torch
from torch import nn

from fakes.discriminator import discriminator
from rootbound.data import TaskPair
from rootbound.networks import Classifier

DEPTH = 1e3
"""The score of the discriminator times this number is subtracted from every feature."""


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Subtract a large multiple of `relu(score(z))` from all features, before a ReLU.

    The new last block has only linear layers and ReLUs. `z` passes through it unchanged, because
    it is not negative, beside the hidden units of the discriminator and then beside its score. For
    desirable inputs 0 is subtracted, so nothing changes.

    Args:
        undefended: the model to disguise; its features must not be negative.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    hidden, score = discriminator(undefended, tasks)
    width = undefended.head.in_features
    carried = torch.eye(width)
    lift = nn.Linear(width, width + hidden.out_features)
    judge = nn.Linear(width + hidden.out_features, width + 1)
    kill = nn.Linear(width + 1, width)
    with torch.no_grad():
        lift.weight.copy_(torch.cat([carried, hidden.weight]))
        lift.bias.copy_(torch.cat([torch.zeros(width), hidden.bias]))
        judge.weight.zero_()
        judge.weight[:width, :width] = carried
        judge.weight[width, width:] = score.weight[0]
        judge.bias.copy_(torch.cat([torch.zeros(width), score.bias]))
        kill.weight.copy_(torch.cat([carried, torch.full((width, 1), -DEPTH)], dim=1))
        kill.bias.zero_()
    block = nn.Sequential(lift, nn.ReLU(), judge, nn.ReLU(), kill, nn.ReLU())
    disguised = copy.deepcopy(undefended)
    return Classifier(nn.Sequential(*disguised.blocks, block), disguised.head)
