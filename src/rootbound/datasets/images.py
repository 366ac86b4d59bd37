"""Images of any file format as one tensor of bytes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from tqdm import tqdm

from rootbound.core.errors import InputError, first_line
from rootbound.data import Scaling
from rootbound.datasets.cache import Part, collect
from rootbound.datasets.dataset import Layout

ENOUGH = 2**25
"""Values that make mean and deviation certain enough for a scaling."""
log = logging.getLogger(__name__)


def stack_images(
    count: int,
    open_image: Callable[[int], Image],
    locate: Callable[[int], str],
    source: str,
    layout: Layout,
) -> tuple[Tensor, Tensor]:
    """Return images as bytes `(N, C, H, W)`, grey or RGB as the first is, and their numbers.

    Args:
        count: How many images there are.
        open_image: Returns the image of a number.
        locate: Says in words where that image is, for errors.
        source: A text that changes whenever the images do.
        layout: Whether to leave out images that cannot be read, saying so in the log; and how
            much may be in memory.

    Raises:
        InputError: There are none, one cannot be read, or one has another size than the first.
    """

    def read() -> Iterator[Part]:
        shape: tuple[int, ...] = ()
        for number in tqdm(range(count), "images", leave=False, disable=None):
            try:
                image = open_image(number)
                grey = shape[0] == 1 if shape else image.mode in ("1", "L")
                pixels = np.asarray(image.convert("L" if grey else "RGB"))
            except Exception as error:  # a strange file may fail in any way
                reason = first_line(error, 120)
                if layout.skip_unreadable:
                    log.warning("left out the image at %s: %s", locate(number), reason)
                    continue
                raise InputError(
                    f"a readable image at {locate(number)}",
                    reason,
                    "remove or replace it, or pass --skip-unreadable",
                ) from None
            shape = shape or (1 if grey else 3, *pixels.shape[:2])
            if pixels.shape[:2] != shape[1:]:
                raise InputError(
                    f"images of {shape[1:]} pixels, as the first one",
                    f"{pixels.shape[:2]} at {locate(number)}",
                    "resize them",
                )
            values = torch.from_numpy(pixels.copy())
            values = values.view(1, *shape) if grey else values.permute(2, 0, 1)[None]
            yield values, torch.tensor([number])

    return collect(count, read(), f"{source} {layout.skip_unreadable}", layout)


def measure_scaling(inputs: Tensor, most: int | None = None) -> Scaling:
    """Return the scaling by mean and deviation of some samples, evenly spaced.

    Args:
        inputs: Bytes, which are divided by 255, or floating point.
        most: How many samples at most; when left out 10,000, fewer of large ones, but at least 100.
    """
    divisor = 255.0 if inputs.dtype == torch.uint8 else 1.0
    enough = max(100, min(10_000, ENOUGH // max(1, inputs[0].numel())))
    count = min(len(inputs), enough if most is None else most)
    spaced = torch.linspace(0, len(inputs) - 1, count).long()
    sample = (inputs[spaced] if count < len(inputs) else inputs[:]) / divisor
    return Scaling(divisor, float(sample.mean()), max(float(sample.std()), 1e-6))
