"""Weights as a state dict: what identifies them, and whether a network can use them."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks.blocks.sequence import Block, BlockSequence


def copy_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a copy of each weight by name, for safetensors.

    That format refuses tied weights, which are two names for the same memory.
    """
    return {name: value.clone().contiguous() for name, value in weights.items()}


def own_weights(model: Any) -> dict[str, Tensor]:
    """Return a classifier's weights under the names of the network that it was made of.

    Args:
        model: A `Classifier`; if its architecture is built in, its own names are used.
    """
    if not isinstance(model.backbone, BlockSequence):
        return dict(model.state_dict())
    weights: dict[str, Tensor] = {}
    for block in cast("Iterator[Block]", iter(model.backbone)):
        weights.update(block.network.state_dict())
    head = model.head.state_dict()
    return weights | {f"{model.head_name}.{name}": value for name, value in head.items()}


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes, in the order of names.

    The digest does not depend on the file that the weights are in.

    Args:
        weights: A state dict.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        # View them as bytes, because NumPy has no bfloat16.
        digest.update(value.reshape(-1).view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()


def check_fit(weights: Mapping[str, Tensor], network: nn.Module, name: str) -> None:
    """Raise an error where a network cannot hold these weights.

    Args:
        weights: A state dict.
        network: The network; it may be on the device `meta`, without memory.
        name: Name of the network, for the error.

    Raises:
        ValueError: Names or shapes differ, or weights that the network shares differ.
    """
    expected = network.state_dict(keep_vars=True)
    if {key: value.shape for key, value in weights.items()} != {
        key: value.shape for key, value in expected.items()
    }:
        raise ValueError(f"weights that do not fit {name}")
    first_names: dict[int, str] = {}
    for key, value in expected.items():
        first = first_names.setdefault(id(value), key)
        if first != key and not torch.equal(weights[key], weights[first]):
            raise ValueError(f"{key} and {first} differ, but are one weight in {name}")


def check_finite(network: nn.Module, origin: Path | str) -> None:
    """Raise an `InputError` where weights of a network are NaN or infinite.

    A buffer may hold minus infinity, as masks of attention do. The network is checked, not its
    file, because a number may be finite only in the file's precision.

    Args:
        network: The network.
        origin: Where its weights come from, for the error.
    """
    buffers = {name for name, _ in network.named_buffers()}
    for name, value in network.state_dict().items():
        if not _is_finite(value, is_buffer=name in buffers):
            kind = "NaN" if bool(value.isnan().any()) else "infinite numbers"
            raise InputError(
                f"finite weights in {origin}",
                f"others: these weights hold {kind}, in {own_name(name)}",
                "take others",
            )


@contextlib.contextmanager
def unfrozen(network: nn.Module) -> Iterator[None]:
    """Let all weights have gradients; freeze again those that were frozen.

    Blocks are found by gradients, among other things, and are the same for a frozen network.
    """
    frozen = [weight for weight in network.parameters() if not weight.requires_grad]
    for weight in frozen:
        weight.requires_grad_(weight.is_floating_point())
    try:
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


def own_name(name: str) -> str:
    """Return the name that a weight of a wrapped network has in the network itself, for errors."""
    return re.sub(r"^(backbone\.)?(\d+\.network\.)?", "", name)


def _is_finite(value: Tensor, *, is_buffer: bool) -> bool:
    """Return whether all numbers are finite, apart from minus infinity in a buffer."""
    allowed = value.isfinite() | (value == -math.inf) if is_buffer else value.isfinite()
    return bool(allowed.all())
