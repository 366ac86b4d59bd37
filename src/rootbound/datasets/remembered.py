"""Tensors that take long to make: made once, and read from a file from then on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.core.files import write_atomically
from rootbound.datasets.cache import cache_folder

VALUES, CHECK = "values", "sha256"
log = logging.getLogger(__name__)


def remembered(source: str, make: Callable[[], Tensor]) -> Tensor:
    """Return a tensor as it was made before, or make it and keep it.

    A file that is damaged does not count, and one that cannot be written is done without: it
    saves time, and nothing else depends on it.

    Args:
        source: a text that changes whenever the tensor would.
        make: what takes long.
    """
    try:
        path = cache_folder() / f"{hashlib.sha256(source.encode()).hexdigest()[:32]}.safetensors"
    except InputError:
        return make()
    found = _read(path)
    if found is not None:
        return found
    values = make().contiguous()
    try:
        write_atomically(path, save({VALUES: values, CHECK: _check(values)}))
    except InputError as reason:
        log.info("%s: it is made again the next time", reason)
    return values


def _read(path: Path) -> Tensor | None:
    """Return what a file holds, None where there is none or it is damaged."""
    try:
        held = load(path.read_bytes())
        values, check = held[VALUES], held[CHECK]
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    return values if torch.equal(check, _check(values)) else None


def _check(values: Tensor) -> Tensor:
    described = f"{values.dtype} {tuple(values.shape)}".encode()
    digest = hashlib.sha256(described + values.numpy().tobytes()).digest()
    return torch.tensor(list(digest), dtype=torch.uint8)
