"""A small vision transformer.

Source: A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021,
https://arxiv.org/abs/2010.11929; the mean over patches in place of a class token, as in L. Beyer
et al., "Better plain ViT baselines", 2022, https://arxiv.org/abs/2205.01580.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.devices import set_seed
from rootbound.core.errors import InputError
from rootbound.networks.classifier import Classifier
from rootbound.networks.cnn import Shape
from rootbound.networks.wrapping import check_image_sizes, explain_wrong_arguments

HEAD_WIDTH = 32
"""Width of each of the attention's heads."""


class Patches(nn.Module):
    """Cut an image into squares and map each to a token, with a learned position.

    Args:
        shape: Channels, height and width of an image; zeros are added to the right and below
            where `size` does not divide it.
        size: Pixels on a side of a square.
        width: Width of a token.
    """

    def __init__(self, shape: Shape, size: int, width: int) -> None:
        super().__init__()
        self.added = (0, -shape[2] % size, 0, -shape[1] % size)
        self.project = nn.Conv2d(shape[0], width, size, stride=size)
        self.image = tuple(shape[1:])
        count = -(-shape[1] // size) * -(-shape[2] // size)
        self.positions = nn.Parameter(torch.empty(1, count, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the positions anew; the convolution resets itself."""
        nn.init.normal_(self.positions, std=0.02)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return tokens `(N, L, width)` of images `(N, C, H, W)`."""
        if inputs.shape[2:] != self.image:
            # Broadcasting would silently add a single token to every position.
            raise ValueError(f"images of {self.image}, not {tuple(inputs.shape[2:])}")
        inputs = functional.pad(inputs, self.added)
        tokens: Tensor = self.project(inputs).flatten(2).transpose(1, 2) + self.positions
        return tokens


class SelfAttention(nn.Module):
    """Every token attends to every other: `softmax(q k' / sqrt(d)) v`, in several heads.

    Args:
        width: Width of a token, a multiple of `heads`.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.mix = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return tokens `(N, L, width)`; none attends to those outside the mask `(N, L)`."""
        count, length, width = tokens.shape
        mixed = self.mix(tokens).view(count, length, 3, self.heads, width // self.heads)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        visible = None if mask is None else mask[:, None, None]
        attended = functional.scaled_dot_product_attention(query, key, value, visible)
        outputs: Tensor = self.project(attended.transpose(1, 2).reshape(count, length, width))
        return outputs


class TransformerBlock(nn.Module):
    """`x + attention(norm(x))`, then `x + mlp(norm(x))`.

    Args:
        width: Width of a token.
        heads: Number of the attention's heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return tokens `(N, L, width)`; none attends to those outside the mask `(N, L)`."""
        tokens = tokens + self.attention(self.first_norm(tokens), mask)
        outputs: Tensor = tokens + self.mlp(self.second_norm(tokens))
        return outputs


class MeanOverPatches(nn.Module):
    """The mean of an image's tokens."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return `(N, width)` of `(N, L, width)`."""
        return tokens.mean(1)


def check_width(width: int) -> None:
    """Raise an `InputError` where heads do not divide the width of a token.

    Args:
        width: Width of a token.
    """
    if width % HEAD_WIDTH:
        raise InputError(f"a width that is a multiple of {HEAD_WIDTH}", str(width), "correct it")


@explain_wrong_arguments
def small_vit(
    classes: int, shape: Shape = (3, 32, 32), seed: int = 0, width: int = 96, depth: int = 4
) -> Classifier:
    """Return a small vision transformer: patches of 4x4, four blocks of width 96, three heads.

    Args:
        classes: Number of classes.
        shape: Channels, height and width of an image.
        seed: Seed of the weights.
        width: Width of a token, a multiple of 32.
        depth: Number of blocks.
    """
    check_image_sizes(shape)
    check_width(width)
    with torch.random.fork_rng(devices=[]):
        set_seed(seed)
        blocks = [TransformerBlock(width, width // HEAD_WIDTH) for _ in range(depth)]
        last = nn.Sequential(blocks.pop(), nn.LayerNorm(width), MeanOverPatches())
        backbone = nn.Sequential(Patches(shape, 4, width), *blocks, last)
        return Classifier(backbone, nn.Linear(width, classes), "small_vit")
