"""Small convolutional networks for images."""

from __future__ import annotations

import torch
from torch import nn

from rootbound.core.devices import set_seed
from rootbound.networks.classifier import Classifier
from rootbound.networks.wrapping import (
    check_image_sizes,
    explain_wrong_arguments,
    unsuitable_samples_error,
)

Shape = tuple[int, int, int]


@explain_wrong_arguments
def shallow_cnn(classes: int, shape: Shape = (1, 28, 28), seed: int = 0) -> Classifier:
    """Return the seed experiment's network: two convolutions and one hidden layer.

    conv 5x5/2 (16) - conv 5x5/2 (32) - linear (128), each with a ReLU, and the head.
    Strides in place of pooling: on a CPU the same accuracy in half the time.

    Args:
        classes: Number of classes.
        shape: Channels, height and width of an image.
        seed: Seed of the weights.
    """
    return _build("shallow_cnn", classes, shape, seed, 5, [(16, 2), (32, 2)])


@explain_wrong_arguments
def deep_cnn(classes: int, shape: Shape = (1, 28, 28), seed: int = 0) -> Classifier:
    """Return a deeper network: four convolutions and one hidden layer.

    conv 3x3 (16) - conv 3x3/2 (32) - conv 3x3 (32) - conv 3x3/2 (64) - linear (128),
    each with a ReLU, and the head.

    Args:
        classes: Number of classes.
        shape: Channels, height and width of an image.
        seed: Seed of the weights.
    """
    return _build("deep_cnn", classes, shape, seed, 3, [(16, 1), (32, 2), (32, 1), (64, 2)])


@explain_wrong_arguments
def batch_norm_cnn(classes: int, shape: Shape = (3, 32, 32), seed: int = 0) -> Classifier:
    """Return a network for small photographs: five convolutions with BatchNorm, one hidden layer.

    conv 3x3 (32) - 3x3/2 (64) - 3x3 (64) - 3x3/2 (128) - 3x3/2 (128) - linear (128), each with a
    ReLU, and the head.

    Args:
        classes: Number of classes.
        shape: Channels, height and width of an image.
        seed: Seed of the weights.
    """
    layers = [(32, 1), (64, 2), (64, 1), (128, 2), (128, 2)]
    return _build("batch_norm_cnn", classes, shape, seed, 3, layers, normalised=True)


def _build(
    architecture: str,
    classes: int,
    shape: Shape,
    seed: int,
    size: int,
    layers: list[tuple[int, int]],
    *,
    normalised: bool = False,
) -> Classifier:
    """Return convolutions of one kernel size, a hidden layer and the head.

    Args:
        architecture: Name in `MODELS`.
        classes: Number of classes.
        shape: Channels, height and width of an image.
        seed: Seed of the weights.
        size: Height and width of the kernels.
        layers: Channels and stride of each convolution.
        normalised: Whether BatchNorm follows each convolution, which then pads the image.
    """
    check_image_sizes(shape)
    with torch.random.fork_rng(devices=[]):
        set_seed(seed)
        blocks, channels = [], shape[0]
        for width, stride in layers:
            if normalised:
                convolution = nn.Conv2d(channels, width, size, stride, size // 2, bias=False)
                blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU()))
            else:
                blocks.append(nn.Sequential(nn.Conv2d(channels, width, size, stride), nn.ReLU()))
            channels = width
        try:
            with torch.no_grad():
                flat = nn.Sequential(*blocks)(torch.zeros(1, *shape)).numel()
        except RuntimeError as error:  # the image is smaller than a kernel
            raise unsuitable_samples_error(shape, error) from None
        blocks.append(nn.Sequential(nn.Flatten(), nn.Linear(flat, 128), nn.ReLU()))
        model = Classifier(nn.Sequential(*blocks), nn.Linear(128, classes), architecture)
    # The layout in which convolutions are fastest; it changes no value.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model
