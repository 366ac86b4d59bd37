"""The built-in networks by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rootbound.core.errors import InputError, unknown_name
from rootbound.networks import hugging_face
from rootbound.networks.classifier import Classifier
from rootbound.networks.cnn import batch_norm_cnn, deep_cnn, shallow_cnn
from rootbound.networks.outputs import unfit
from rootbound.networks.resnet import resnet_18, resnet_20
from rootbound.networks.text import small_text
from rootbound.networks.vit import small_vit

MODELS: dict[str, Callable[..., Classifier]] = {
    model.__name__: model
    for model in (
        shallow_cnn, deep_cnn, batch_norm_cnn, resnet_20, resnet_18, small_vit, small_text
    )
}  # fmt: skip
FOR_TEXTS = ("small_text",)
LARGEST_CONFIG = 2**20
"""Bytes."""
LARGEST = 4096
"""Pixels on a side, channels, or tokens of a text."""


def short_name(architecture: str) -> str:
    """Return what to call an architecture in a report: a configuration is long."""
    if not architecture.startswith(hugging_face.CONFIGURED):
        return architecture
    described = json.loads(architecture.removeprefix(hugging_face.CONFIGURED))
    return f"{described['model_type']} of transformers"


def described_by(path: Path) -> str:
    """Return the architecture that a `config.json` describes: ours, or one of `transformers`.

    Raises:
        InputError: the file is missing, damaged, or describes neither.
    """
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"more than {LARGEST_CONFIG} bytes")
        text = path.read_text(encoding="utf-8")
        described = json.loads(text)
        if "model_type" in described:
            return hugging_face.CONFIGURED + text
        return str(described["architecture"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"a configuration with model_type or architecture at {path}", reason, "correct --model"
        ) from None


def build(name: str, classes: int, shape: tuple[int, ...], seed: int = 0) -> Classifier:
    """Return a new network of that name, for samples of that shape.

    Args:
        name: one of `MODELS`; `hf:` and the name of a model on the Hugging Face hub or a folder
            of one, whose weights are loaded; or what `architecture` of such a model says.
        classes: number of classes.
        shape: of a sample: (channels, height, width) of an image, (length,) of a text.
        seed: of new weights.

    Raises:
        InputError: the name is unknown, or the shape is of another kind.
    """
    if name.startswith((hugging_face.PRETRAINED, hugging_face.CONFIGURED)):
        return hugging_face.build(name, classes, seed)
    if name not in MODELS:
        raise unknown_name("model", name, [*MODELS, "hf:NAME", "hf:FOLDER"])
    kind = "texts of (length,)" if name in FOR_TEXTS else "images of (channels, height, width)"
    axes = 1 if name in FOR_TEXTS else 3
    if len(shape) != axes or min(shape) < 1 or max(shape) > LARGEST:
        raise InputError(
            f"{kind} for {name}",
            f"shape {shape}",
            "choose another --model, or wrap one of your own with Classifier.wrap",
        )
    try:
        return MODELS[name](classes=classes, shape=shape, seed=seed)
    except RuntimeError as error:
        raise unfit(shape, error) from None
