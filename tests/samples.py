"""Samples of the kind that a built-in network is for."""

from __future__ import annotations

import torch
from torch import Tensor

from rootbound.data import PADDING
from rootbound.networks.registry import TEXT_MODELS

IMAGE, TEXT = (1, 16, 16), (16,)


def shape_for(name: str) -> tuple[int, ...]:
    """Return the shape of one sample."""
    return TEXT if name in TEXT_MODELS else IMAGE


def samples_for(name: str, count: int = 5) -> Tensor:
    """Return images, or texts of which the second ends early."""
    generator = torch.Generator().manual_seed(0)
    if name not in TEXT_MODELS:
        return torch.randn(count, *IMAGE, generator=generator)
    tokens = torch.randint(1, 16384, (count, *TEXT), generator=generator)
    tokens[1, 7:] = PADDING
    return tokens
