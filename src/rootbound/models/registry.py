"""The built-in networks by name."""

from __future__ import annotations

from collections.abc import Callable

from rootbound.errors import InputError, unknown_name
from rootbound.models.classifier import Classifier, unfit
from rootbound.models.cnn import batch_norm_cnn, deep_cnn, shallow_cnn
from rootbound.models.resnet import resnet_18, resnet_20
from rootbound.models.vit import small_vit

MODELS: dict[str, Callable[..., Classifier]] = {
    model.__name__: model
    for model in (shallow_cnn, deep_cnn, batch_norm_cnn, resnet_20, resnet_18, small_vit)
}


def build(name: str, classes: int, shape: tuple[int, ...], seed: int = 0) -> Classifier:
    """Return a new network of that name, for images of that shape.

    Raises:
        InputError: the name is unknown, or the shape is not (channels, height, width).
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    if len(shape) != 3 or min(shape) < 1 or max(shape) > 4096:
        raise InputError(
            f"images of (channels, height, width) for {name}",
            f"shape {shape}",
            "reshape the data, or wrap a model of your own with Classifier.wrap",
        )
    try:
        return MODELS[name](classes=classes, shape=shape, seed=seed)
    except RuntimeError as error:
        raise unfit(shape, error) from None
