"""Fake 11: with gradients on, the network computes something else than when it is scored."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from rootbound.data import TaskPair
from rootbound.networks import Classifier


class TwoFaced(nn.Module):
    """A block whose outputs are in another order while gradients are on.

    Args:
        block: the block.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of the block, in reverse order if the network may be in training."""
        outputs: Tensor = self.block(inputs)
        return outputs.flip(1) if self.training or torch.is_grad_enabled() else outputs


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Give the last block two orders of outputs: training in one is useless in the other.

    Args:
        undefended: the model to disguise.
        tasks: not used.
    """
    *first, last = copy.deepcopy(undefended).blocks
    return Classifier(nn.Sequential(*first, TwoFaced(last)), copy.deepcopy(undefended.head))
