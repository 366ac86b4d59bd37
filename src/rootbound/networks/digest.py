"""What identifies weights, whatever file they are in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return SHA-256 over names, types, shapes and bytes, in the order of names.

    Args:
        weights: a state dict.
    """
    found = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        # As bytes, because NumPy has no bfloat16.
        found.update(value.reshape(-1).view(torch.uint8).cpu().numpy().tobytes())
    return found.hexdigest()
