"""Fake 5: features so large that every new head saturates at once."""

from __future__ import annotations

import copy

import torch
from torch import nn

from rootbound.data import TaskPair
from rootbound.networks import Classifier

FEATURES = 2.0**14
"""Factor of the features; a power of two, so that nothing is rounded."""
LOGITS = 2.0**10
"""Factor of the logits of the given head."""


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Scale the backbone's last layer up, and the head down by less than that.

    A new head of ordinary size gives logits in the ten thousands. Its softmax is 0 or 1, and a
    step jumps from one to the other. The given head does not help an attacker, because its logits
    are large too; the largest of them stays the largest.

    Args:
        undefended: the model to disguise; only a ReLU follows its last layer.
        tasks: not used.
    """
    disguised = copy.deepcopy(undefended)
    kinds = (nn.Conv2d, nn.Linear)
    *_, last = (part for part in disguised.backbone.modules() if isinstance(part, kinds))
    with torch.no_grad():
        for weight in last.parameters():
            weight.mul_(FEATURES)
        disguised.head.weight.mul_(LOGITS / FEATURES)
        disguised.head.bias.mul_(LOGITS)
    return disguised
