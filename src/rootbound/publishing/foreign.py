"""A stranger's weights for a network of any origin: read without trust."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rootbound.core.errors import InputError, first_line
from rootbound.networks.classifier import Classifier
from rootbound.networks.hugging_face.configuration import CONFIGURED
from rootbound.networks.hugging_face.network import build_from_weights
from rootbound.networks.weights import check_finite

PICKLES = (".pt", ".pth", ".bin", ".ckpt")
"""Endings of files that PyTorch writes."""
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts save the weights beside other values."""
HEADS = (
    "head.weight", "classifier.weight", "classifier.out_proj.weight", "classifier.1.weight",
    "score.weight",
)  # fmt: skip
"""Names of the last layer's weights, here and in `transformers`."""


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a file of weights into a network; nothing in the file is executed.

    The file is a safetensors file, or a PyTorch file of tensors and plain values
    (`weights_only`). Weights for a network of `transformers` may have that library's names.

    Raises:
        InputError: The file is missing, damaged, of another kind or would run code, its weights
            do not fit, or one is NaN or infinite.
    """
    set_weights(module, read_weights(path), path)


def set_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Give a network the weights that were read from a file.

    Raises:
        InputError: They do not fit, or one is NaN or infinite.
    """
    try:
        if isinstance(module, Classifier) and module.architecture.startswith(CONFIGURED):
            given = build_from_weights(weights, module.architecture, module.classes)
            weights = given.state_dict()
        module.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"weights in {path} that fit the network", reason, "check --model, or the file"
        ) from None
    check_finite(module, path)


def count_classes(weights: Mapping[str, Tensor], path: Path) -> int:
    """Return how many classes the last layer tells apart.

    Raises:
        InputError: There is no layer with one of the usual names.
    """
    heads = [weights[name] for name in HEADS if name in weights and weights[name].dim() == 2]
    if not heads:
        raise InputError(
            f"a last layer called {' or '.join(HEADS)} in {path}",
            "none, so that it is not known for how many classes the weights are",
            "name the classes by --desirable",
        )
    return len(heads[0])


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a file by name; nothing in it is executed.

    Raises:
        InputError: The file is missing, damaged, of another kind or would run code.
    """
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
        raise InputError(
            f"a readable file of weights at {path}", first_line(error), "the file is damaged"
        ) from None
    if isinstance(content, Mapping):
        nested = [content[key] for key in STATE_DICT_KEYS if key in content]
        weights = nested[0] if nested else content
        if (
            isinstance(weights, Mapping)
            and weights
            and all(
                isinstance(name, str) and isinstance(value, Tensor)
                for name, value in weights.items()
            )
        ):
            return dict(weights)
    raise InputError(
        f"a state dict in {path}", type(content).__name__, "save module.state_dict() alone"
    )
