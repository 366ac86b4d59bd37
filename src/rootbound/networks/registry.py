"""The built-in networks by name, and those of `transformers` by their configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rootbound.core.errors import InputError, take_first_line, unknown_name_error
from rootbound.networks.classifier import Classifier
from rootbound.networks.cnn import batch_norm_cnn, deep_cnn, shallow_cnn
from rootbound.networks.hugging_face import configuration as hugging_face
from rootbound.networks.hugging_face import network
from rootbound.networks.resnet import resnet_18, resnet_20
from rootbound.networks.text import small_text
from rootbound.networks.vit import small_vit
from rootbound.networks.wrapping import unsuitable_samples_error

MODELS: dict[str, Callable[..., Classifier]] = {
    model.__name__: model
    for model in (
        shallow_cnn, deep_cnn, batch_norm_cnn, resnet_20, resnet_18, small_vit, small_text
    )
}  # fmt: skip
TEXT_MODELS = ("small_text",)
LARGEST_CONFIGURATION = 2**20
"""Largest configuration file, in bytes."""
LARGEST_SIZE = 4096
"""Largest number of pixels on a side, of channels, or of tokens of a text."""


def short_name(architecture: str) -> str:
    """Return a short name of an architecture for reports, instead of a whole configuration."""
    if not architecture.startswith(hugging_face.CONFIGURED):
        return architecture
    configuration = json.loads(architecture.removeprefix(hugging_face.CONFIGURED))
    return f"{configuration['model_type']} of transformers"


def read_architecture(path: Path) -> str:
    """Return the architecture that a `config.json` describes: ours, or one of `transformers`.

    Raises:
        InputError: The file is missing, damaged, or describes neither.
    """
    try:
        if path.stat().st_size > LARGEST_CONFIGURATION:
            raise ValueError(f"more than {LARGEST_CONFIGURATION} bytes")
        text = path.read_text(encoding="utf-8")
        configuration = json.loads(text)
        if "model_type" in configuration:
            return hugging_face.CONFIGURED + text
        return str(configuration["architecture"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"a configuration with model_type or architecture at {path}",
            take_first_line(error),
            "correct the file",
        ) from None


def build(name: str, classes: int, shape: tuple[int, ...], seed: int = 0) -> Classifier:
    """Return a new network of that name, for samples of that shape.

    Args:
        name: One of `MODELS`; `hf:` and the name or folder of a model on the Hugging Face hub,
            whose weights are loaded; or the `architecture` that such a model has.
        classes: Number of classes.
        shape: Shape of a sample: (channels, height, width) of an image, (length,) of a text.
        seed: Seed of new weights.

    Raises:
        InputError: The name is unknown, or the shape is of another kind.
    """
    if name.startswith((hugging_face.PRETRAINED, hugging_face.CONFIGURED)):
        return network.build(name, classes, seed)
    if name not in MODELS:
        raise unknown_name_error("model", name, [*MODELS, "hf:NAME", "hf:FOLDER"])
    kind = "texts of (length,)" if name in TEXT_MODELS else "images of (channels, height, width)"
    axes = 1 if name in TEXT_MODELS else 3
    if len(shape) != axes or min(shape) < 1 or max(shape) > LARGEST_SIZE:
        raise InputError(
            f"{kind} for {name}",
            f"shape {shape}",
            "choose another model, or wrap one of your own with Classifier.wrap",
        )
    try:
        return MODELS[name](classes=classes, shape=shape, seed=seed)
    except RuntimeError as error:
        raise unsuitable_samples_error(shape, error) from None
