"""Images of any file format as one tensor of bytes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from tqdm import tqdm

from rootbound.core.errors import InputError
from rootbound.data import Scaling
from rootbound.datasets.cache import Part, kept
from rootbound.datasets.layout import Layout

LARGE = 2**25
"""Values: of so many, mean and deviation are certain enough for a scaling."""
log = logging.getLogger(__name__)


def stacked(
    count: int,
    opened: Callable[[int], Image],
    place: Callable[[int], str],
    source: str,
    layout: Layout,
) -> tuple[Tensor, Tensor]:
    """Return images as bytes `(N, C, H, W)`, grey or RGB as the first is, and which they are.

    Args:
        count: how many there are.
        opened: returns the one of a number.
        place: says in words where that is, for errors.
        source: a text that changes whenever the images do.
        layout: whether to leave out those that cannot be read, saying so in the log; and how
            much may be in memory.

    Raises:
        InputError: there are none, one cannot be read, or one has another size than the first.
    """
    images = _read(count, opened, place, skip=layout.skip_unreadable)
    return kept(count, images, f"{source} {layout.skip_unreadable}", layout)


def _read(
    count: int, opened: Callable[[int], Image], place: Callable[[int], str], *, skip: bool
) -> Iterator[Part]:
    """Yield images and their numbers, one at a time."""
    shape: tuple[int, ...] = ()
    for index in tqdm(range(count), "images", leave=False, disable=None):
        try:
            image = opened(index)
            grey = shape[0] == 1 if shape else image.mode in ("1", "L")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
        except Exception as error:  # a strange file may fail in any way
            reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
            if skip:
                log.warning("left out the image at %s: %s", place(index), reason)
                continue
            raise InputError(
                f"a readable image at {place(index)}",
                reason,
                "remove or replace it, or pass --skip-unreadable",
            ) from None
        shape = shape or (1 if grey else 3, *pixels.shape[:2])
        if pixels.shape[:2] != shape[1:]:
            raise InputError(
                f"images of {shape[1:]} pixels, as the first one",
                f"{pixels.shape[:2]} at {place(index)}",
                "resize them",
            )
        values = torch.from_numpy(pixels.copy())
        yield (
            values.view(1, *shape) if grey else values.permute(2, 0, 1)[None],
            torch.tensor([index]),
        )


def scaling(inputs: Tensor, most: int | None = None) -> Scaling:
    """Return the scaling by mean and deviation of some samples, evenly spaced.

    Args:
        inputs: bytes, which are divided by 255, or floating point.
        most: samples; when left out 10,000, of large ones fewer, but at least 100.
    """
    divisor = 255.0 if inputs.dtype == torch.uint8 else 1.0
    enough = max(100, min(10_000, LARGE // max(1, inputs[0].numel())))
    count = min(len(inputs), enough if most is None else most)
    if count < len(inputs):
        inputs = inputs[torch.linspace(0, len(inputs) - 1, count).long()]
    sample = inputs / divisor
    return Scaling(divisor, float(sample.mean()), max(float(sample.std()), 1e-6))
