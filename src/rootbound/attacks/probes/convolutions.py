"""Random convolutions, through which a probe reads inputs and blocks: they need no training."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.fields import PositiveInt, check
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import pool_outputs

FILTERS, GRID = 64, 3
"""Filters on the inputs, and places along each side over which their outputs are averaged."""
BLOCK_FILTERS, LEAST_FILTERS, BLOCK_GRID = 256, 8, 2
"""Filters on all blocks together, the fewest on one of them, and places along each side."""
SAMPLES = 50
"""Samples that give the filters their scales: about as many as an attacker with ten labels has."""
MOST_WHITENED = 256
"""Patches of more numbers than this are not whitened: too few of them are known."""
MOST_NUMBERS = 20_000_000
"""Most numbers in the patches from which the filters' scales come."""
AT_ONCE = 1_000_000
"""Numbers that filters compute at a time: few enough for caches, which is six times as fast."""
LEAST_VARIANCE = 1e-12
"""Least variance that is scaled to 1: a map may be constant."""
RIDGE = 0.1
"""What is added to the variances of patches, relative to their mean, before they are whitened."""
SEED = 0
"""Seed of the filters: they are the same for every arm."""


@dataclass(frozen=True)
class Convolutions:
    """Random convolutions of the inputs, and of the outputs of blocks, averaged over places.

    A filter's feature at a place of the grid is the mean of `relu(w' W (p - m) / s)` over the
    patches p there. m is the mean patch, W whitens patches, w is standard normal, and s scales to
    unit variance, on fifty samples of which no labels are used. On small images this reads more
    than most networks that are trained from scratch on a few hundred labels do, so it shows what
    weights add to that.

    Source: A. Coates, H. Lee and A. Ng, "An Analysis of Single-Layer Networks in Unsupervised
    Feature Learning", AISTATS 2011, https://proceedings.mlr.press/v15/coates11a.html; A. Saxe et
    al., "On Random Weights and Unsupervised Feature Learning", ICML 2011. Differs from the paper:
    filters are random directions, without clustering, and means are over 3 x 3 places, of blocks
    over 2 x 2.

    Args:
        of: What is read: the `inputs`; the inputs and the `first half` of the blocks; or the inputs
            and `all blocks`. What is not a map is read as it is.
        size: Side of the filters, in pixels.
    """

    of: Literal["inputs", "first half", "all blocks"] = "inputs"
    size: PositiveInt = 3

    def __post_init__(self) -> None:
        check(self)

    @property
    def is_last(self) -> bool:
        """False: the model's own head never reads there."""
        return False

    def __str__(self) -> str:
        """Return the reading in words."""
        name = {
            "inputs": "the inputs",
            "first half": "inputs and the first half of the blocks",
            "all blocks": "inputs and all blocks",
        }[self.of]
        return f"random {self.size} x {self.size} convolutions of {name}"

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the network takes maps: whether it convolves them itself."""
        return any(isinstance(part, nn.Conv2d) for part in model.backbone.modules())

    def readout(self, model: Classifier, samples: Data) -> nn.Module:
        """Return a frozen network that maps inputs to features `(N, D)`.

        Args:
            model: The network that is read; it is not changed.
            samples: Samples of the kind that it takes, without use of their labels.
        """
        total = len(model.blocks)
        count = {"inputs": 0, "first half": -(-total // 2), "all blocks": total}[self.of]
        blocks = copy.deepcopy(model).eval().requires_grad_(False).blocks[:count]
        inputs, _ = samples.subset(SAMPLES).batch(slice(0, SAMPLES))
        on_each_block = max(LEAST_FILTERS, BLOCK_FILTERS // max(1, count)), BLOCK_GRID
        generator = torch.Generator("cpu").manual_seed(SEED)
        readers: list[nn.Module] = []
        with torch.no_grad():
            for outputs in _pass_through(blocks, inputs):
                number, grid = on_each_block if readers else (FILTERS, GRID)
                if outputs.dim() == 4:
                    drawn = _draw_filters(outputs, number, grid, self.size, generator)
                    readers.append(drawn)
                else:
                    readers.append(_Means())
        return _Readout(blocks, readers)


class _Readout(nn.Module):
    """A network that returns what readers make of its inputs and of the outputs of its blocks."""

    def __init__(self, blocks: Iterable[nn.Module], readers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.blocks, self.readers = nn.ModuleList(blocks), nn.ModuleList(readers)
        self.eval().requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return features `(N, D)`."""
        outputs = _pass_through(self.blocks, inputs)
        pairs = zip(self.readers, outputs, strict=True)
        return torch.cat([reader(output) for reader, output in pairs], dim=1)


class _Filters(nn.Module):
    """A reader of maps: how strongly filters answer, averaged over a grid of places.

    Args:
        weights: `(F, C, size, size)`.
        biases: `(F,)`.
        grid: Places along each side.
    """

    weights: Tensor
    biases: Tensor

    def __init__(self, weights: Tensor, biases: Tensor, grid: int) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("biases", biases)
        self.grid = grid

    def answers(self, maps: Tensor) -> Tensor:
        """Return what each filter says at each place, `(N, F, H, W)`."""
        padding = self.weights.shape[2] // 2
        return functional.conv2d(maps, self.weights, self.biases, padding=padding)

    def forward(self, maps: Tensor) -> Tensor:
        """Return features `(N, F * grid**2)` of maps `(N, C, H, W)`."""
        each = len(self.weights) * maps[0, 0].numel()
        parts = [
            functional.adaptive_avg_pool2d(self.answers(part).relu(), self.grid).flatten(1)
            for part in maps.split(max(1, AT_ONCE // each))
        ]
        return torch.cat(parts)


class _Means(nn.Module):
    """A reader of features and tokens, which have no patches."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Return the outputs, averaged over tokens where they are many."""
        # A copy, because the next block may work in place.
        return pool_outputs(self, outputs).clone()


def _pass_through(blocks: Iterable[nn.Module], inputs: Tensor) -> Iterator[Tensor]:
    """Yield inputs, and the outputs of each block, in single precision."""
    yield inputs.float()
    for block in blocks:
        inputs = block(inputs)
        yield inputs.float()


def _draw_filters(
    maps: Tensor, count: int, grid: int, size: int, generator: torch.Generator
) -> _Filters:
    """Return random filters whose answers to patches of maps `(N, C, H, W)` have unit variance."""
    patches = _take_patches(maps, size).double()
    mean, width = patches.mean(0), patches.shape[1]
    patches = patches - mean
    # On the processor, so that they are the same on every device.
    drawn = torch.randn(count, width, generator=generator, dtype=torch.float64, device="cpu")
    drawn = drawn.to(patches.device)
    if width <= MOST_WHITENED:
        variances, axes = torch.linalg.eigh(patches.T @ patches / len(patches))
        variances = variances.clamp_min(0) + RIDGE * variances.mean().clamp_min(LEAST_VARIANCE)
        drawn = drawn @ (axes * variances.rsqrt()) @ axes.T
    variance = (patches @ drawn.T).square().mean(0).clamp_min(LEAST_VARIANCE)
    drawn = drawn * variance.rsqrt().unsqueeze(1)
    weights = drawn.float().view(count, maps.shape[1], size, size)
    return _Filters(weights, -(drawn @ mean).float(), grid)


def _take_patches(maps: Tensor, size: int) -> Tensor:
    """Return patches `(P, C * size**2)` of maps, from evenly spaced places of each sample."""
    each = max(1, MOST_NUMBERS // (maps[:, :, 0, 0].numel() * size**2))
    patches = []
    for one in maps.split(1):  # all at once would take gigabytes for large images
        columns = functional.unfold(one, size, padding=size // 2)[0]
        places = torch.linspace(0, columns.shape[1] - 1, min(each, columns.shape[1])).long()
        patches.append(columns[:, places.to(columns.device)].T)
    return torch.cat(patches)
