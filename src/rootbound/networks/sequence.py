"""Sequences of tokens between the blocks of a network: their states, and which of them count."""

from __future__ import annotations

import torch
from torch import Tensor

from rootbound.data import PADDING

BAG = 1024
"""Sizes of bags of tokens: wide enough to tell words apart, narrow enough for exact probes."""


def trimmed(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return whole tokens `(N, L)` without the columns that are padding in all of them, and a mask.

    So a batch takes as long as its longest text, however long others are. At least one column
    stays, and a text of nothing but padding counts its first.

    Args:
        tokens: `(N, L)`, padding at the end.
    """
    tokens = tokens.long()
    mask = tokens != PADDING
    filled = mask.any(0).nonzero()
    longest = int(filled[-1]) + 1 if len(filled) else 1
    mask = mask[:, :longest].clone()
    mask[:, 0] = True
    return tokens[:, :longest], mask


def joined(states: Tensor, mask: Tensor) -> Tensor:
    """Return one tensor `(N, L, D + 1)`: zero where nothing counts, the mask in the last place.

    What follows may be longer by zeros without being something else.
    """
    counted = mask.unsqueeze(2).to(states.dtype)
    return torch.cat([states * counted, counted], dim=2)


def parted(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return states `(N, L, D)` and mask `(N, L)` of what `joined` made."""
    return outputs[..., :-1], outputs[..., -1] > 0.5


def last(mask: Tensor) -> Tensor:
    """Return the place `(N,)` of the last token of each text that counts."""
    places = torch.arange(mask.shape[1], device=mask.device)
    return (mask * places).amax(1)


def mean(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean `(N, D)` of the states that count."""
    counted = mask.unsqueeze(2).to(states.dtype)
    total: Tensor = (states * counted).sum(1)
    return total / counted.sum(1).clamp_min(1)


def bag(tokens: Tensor, size: int = BAG) -> Tensor:
    """Return the share of each token in a text, `(N, size)`: what is known without any order.

    Args:
        tokens: `(N, L)`; padding does not count.
        size: tokens whose numbers differ by a multiple of it are one.
    """
    mask = (tokens != PADDING).float()
    shares = mask.new_zeros(len(tokens), size).scatter_add_(1, tokens.long() % size, mask)
    return shares / mask.sum(1, keepdim=True).clamp_min(1)
