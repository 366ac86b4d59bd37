"""Whether weights are those of a network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def check_fit(weights: Mapping[str, Tensor], network: nn.Module, name: str) -> None:
    """Raise where a network cannot hold these weights.

    Args:
        weights: a state dict.
        network: that shall hold them; it may be without memory, on the device `meta`.
        name: of the network, for the error.

    Raises:
        ValueError: names or shapes differ, or weights that are one in the network are two.
    """
    held = network.state_dict(keep_vars=True)
    if {key: value.shape for key, value in weights.items()} != {
        key: value.shape for key, value in held.items()
    }:
        raise ValueError(f"weights that do not fit {name}")
    first: dict[int, str] = {}
    for key, value in held.items():
        other = first.setdefault(id(value), key)
        if other != key and not torch.equal(weights[key], weights[other]):
            raise ValueError(f"{key} and {other} that differ, which are one in {name}")
