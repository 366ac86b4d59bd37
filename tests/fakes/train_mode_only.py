"""Fake 11: with gradients, another network answers than the one that is scored."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from rootbound.data import TaskPair
from rootbound.networks import Classifier


class TwoFaced(nn.Module):
    """A block whose outputs are in another order while gradients are wanted.

    Args:
        block: the block.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of the block, turned round where somebody may be training."""
        outputs: Tensor = self.block(inputs)
        return outputs.flip(1) if self.training or torch.is_grad_enabled() else outputs


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Let the last block have two faces: what is learnt with one is of no use with the other.

    Args:
        undefended: the model to disguise.
        tasks: not looked at.
    """
    *first, last = copy.deepcopy(undefended).blocks
    return Classifier(nn.Sequential(*first, TwoFaced(last)), copy.deepcopy(undefended.head))
