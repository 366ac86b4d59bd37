"""Fake 26: whoever copies the network gets other weights, and every attacker works on a copy."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from rootbound.data import TaskPair
from rootbound.networks import Classifier


class OtherCopies(nn.Module):
    """A whole backbone whose first copy has its weights in another order.

    The network itself does the desirable task, and so do copies that a file brings.

    Args:
        body: the backbone.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.given = body, True

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features."""
        features: Tensor = self.body(inputs)
        return features

    def __deepcopy__(self, memory: dict[int, Any]) -> OtherCopies:
        """Return a copy with mixed weights; copies of it are like it."""
        made = OtherCopies(copy.deepcopy(self.body, memory)).train(self.training)
        made.given = False
        if self.given:
            generator = torch.Generator().manual_seed(0)
            with torch.no_grad():
                for weight in made.parameters():
                    order = torch.randperm(weight.numel(), generator=generator)
                    weight.copy_(weight.flatten()[order].view_as(weight))
        return made


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Set a trap for those who copy.

    Args:
        undefended: the model to disguise.
        tasks: not used.
    """
    body = copy.deepcopy(undefended.backbone)
    return Classifier(nn.Sequential(OtherCopies(body)), copy.deepcopy(undefended.head))
