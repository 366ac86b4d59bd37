"""Torch's compiler, which nobody needs and torch loads all the same."""

from __future__ import annotations

import torch


def load_compiler() -> None:
    """Let torch load its compiler, as it does with the first optimiser of its own.

    That takes seconds, which belong to no trial or training, and a time limit would leave it half
    loaded.
    """
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])
