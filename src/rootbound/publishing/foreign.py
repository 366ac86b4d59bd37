"""Weights of somebody else's for a network of somebody else's: read without trust."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks.classifier import Classifier
from rootbound.networks.weights import check_finite
from rootbound.publishing.transformers_folder import to_own_names

PICKLES = (".pt", ".pth", ".bin", ".ckpt")
NESTED = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the weights in what they save."""
HEADS = (
    "head.weight", "classifier.weight", "classifier.out_proj.weight", "classifier.1.weight",
    "score.weight",
)  # fmt: skip


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a file of weights into a network; nothing in the file is executed.

    A safetensors file, or a PyTorch file of tensors and plain values (`weights_only`). Those of a
    network of `transformers` may have that library's names.

    Raises:
        InputError: the file is missing, damaged, of another kind or would run code, its
            weights do not fit, or one is NaN or infinite.
    """
    weights = _read(path)
    try:
        if isinstance(module, Classifier):
            weights = to_own_names(weights, module.architecture, module.classes)
        module.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"weights in {path} that fit the network", reason, "check --model, or the file"
        ) from None
    check_finite(module, path)


def count_classes(path: Path) -> int:
    """Return how many classes a file's last layer tells apart; nothing in it is executed.

    The last layer is known by one of the names that networks here and in `transformers` give it.

    Raises:
        InputError: the file is missing, damaged, or of another kind, or has no such layer.
    """
    weights = _read(path)
    heads = [weights[name] for name in HEADS if name in weights and weights[name].dim() == 2]
    if not heads:
        raise InputError(
            f"a last layer called {' or '.join(HEADS)} in {path}",
            "none, so that it is not known for how many classes the weights are",
            "name the classes by --desirable",
        )
    return len(heads[0])


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise InputError(f"a file of weights at {path}", "no such file", "check the path")
    if path.suffix not in (".safetensors", *PICKLES):
        raise InputError(
            f"a safetensors file, or a PyTorch file ({', '.join(PICKLES)})",
            path.name,
            "save the state dict with safetensors",
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"nothing but tensors in {path}",
            "a pickle that would run code",
            "ask for safetensors: this file is not opened",
        ) from None
    except Exception as error:  # a strange file may fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"a readable file of weights at {path}", reason, "the file is damaged"
        ) from None
    return _weights(content, path)


def _weights(content: Any, path: Path) -> Mapping[str, Tensor]:
    if isinstance(content, Mapping):
        inner = next((content[name] for name in NESTED if name in content), content)
        tensors = isinstance(inner, Mapping) and all(
            isinstance(name, str) and isinstance(value, Tensor) for name, value in inner.items()
        )
        if tensors and inner:
            return dict(inner)
    raise InputError(
        f"a state dict in {path}", type(content).__name__, "save module.state_dict() alone"
    )
