"""What a block passes on, as features of a moderate size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.networks.sequence import mean, parted

WIDEST = 512
"""Feature maps and tokens are averaged to the finest grid that leaves at most so many numbers."""


def is_masked(block: nn.Module) -> bool:
    """Return whether a block passes states and mask of texts on, as `models/sequence.py` says."""
    return bool(getattr(block, "masked", False))


def pooled(block: nn.Module, outputs: Tensor) -> Tensor:
    """Return features `(N, D)`, averaged over places so that D is at most `WIDEST` or channels.

    Args:
        block: what made the outputs; where it is masked, they are averaged over the words
            that count.
        outputs: `(N, D)`, maps `(N, C, H, W)`, or tokens `(N, L, C)`.
    """
    if is_masked(block):
        return mean(*parted(outputs))
    if outputs.dim() == 3 and outputs[0].numel() > WIDEST:
        places = min(max(1, WIDEST // outputs.shape[2]), outputs.shape[1])
        outputs = functional.adaptive_avg_pool1d(outputs.transpose(1, 2), places)
    if outputs.dim() == 4 and outputs[0].numel() > WIDEST:
        side = max(1, int((WIDEST / outputs.shape[1]) ** 0.5))
        height, width = outputs.shape[2:]
        outputs = functional.adaptive_avg_pool2d(outputs, (min(side, height), min(side, width)))
    return torch.flatten(outputs, 1)


class Pooled(nn.Module):
    """A block whose outputs are pooled."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, inputs: Tensor) -> Tensor:
        """Return features `(N, D)`."""
        return pooled(self.block, self.block(inputs))
