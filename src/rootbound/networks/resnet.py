"""Residual networks for small photographs.

Source: K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385, section 4.2: three groups of n blocks, 6 n + 2 layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.devices import set_seed
from rootbound.networks.classifier import Classifier
from rootbound.networks.cnn import Shape
from rootbound.networks.wrapping import check_image_sizes, explain_wrong_arguments


class ResidualBlock(nn.Module):
    """`relu(x + norm(conv(relu(norm(conv(x))))))`, convolutions 3x3.

    Where the block halves the image, x is every second pixel, with channels of zeros added
    (option A of the paper, without weights).

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels, at least as many.
        stride: Stride of the first convolution; 2 halves the image.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.first_activation, self.second_activation = nn.ReLU(), nn.ReLU()
        self.stride, self.added = stride, outputs - inputs

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `(N, outputs, H / stride, W / stride)`."""
        hidden = self.first_activation(self.first_norm(self.first(inputs)))
        hidden = self.second_norm(self.second(hidden))
        shortcut = inputs[:, :, :: self.stride, :: self.stride] if self.stride > 1 else inputs
        if self.added:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, self.added // 2, -(-self.added // 2)))
        outputs: Tensor = self.second_activation(shortcut + hidden)
        return outputs


@explain_wrong_arguments
def resnet_20(
    classes: int, shape: Shape = (3, 32, 32), seed: int = 0, width: int = 16
) -> Classifier:
    """Return the ResNet-20 for 32x32: a convolution, nine residual blocks, mean over pixels.

    Args:
        classes: Number of classes.
        shape: Channels, height and width of an image.
        seed: Seed of the weights.
        width: Channels of the first group; the next have two and four times as many.
    """
    return _build_residual(classes, shape, seed, [width, 2 * width, 4 * width], 3, "resnet_20")


@explain_wrong_arguments
def resnet_18(
    classes: int, shape: Shape = (3, 32, 32), seed: int = 0, width: int = 64
) -> Classifier:
    """Return the ResNet-18 as it is used for 32x32: a 3x3 convolution, eight residual blocks.

    Differs from the paper: its first convolution is 3x3 without a stride and no pooling
    follows, because images are small; where a block widens, zeros are added (option A).

    Args:
        classes: Number of classes.
        shape: Channels, height and width of an image.
        seed: Seed of the weights.
        width: Channels of the first group; each next one has twice as many.
    """
    widths = [width, 2 * width, 4 * width, 8 * width]
    return _build_residual(classes, shape, seed, widths, 2, "resnet_18")


def _build_residual(
    classes: int, shape: Shape, seed: int, widths: list[int], depth: int, architecture: str
) -> Classifier:
    """Return a stem and groups of `depth` blocks; every group but the first halves the image."""
    check_image_sizes(shape)
    with torch.random.fork_rng(devices=[]):
        set_seed(seed)
        inputs = widths[0]
        convolution = nn.Conv2d(shape[0], inputs, 3, padding=1, bias=False)
        stem = nn.Sequential(convolution, nn.BatchNorm2d(inputs), nn.ReLU())
        blocks = []
        for group, outputs in enumerate(widths):
            for position in range(depth):
                blocks.append(ResidualBlock(inputs, outputs, 2 if group and not position else 1))
                inputs = outputs
        last = nn.Sequential(blocks.pop(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        backbone = nn.Sequential(stem, *blocks, last)
        model = Classifier(backbone, nn.Linear(inputs, classes), architecture)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model
