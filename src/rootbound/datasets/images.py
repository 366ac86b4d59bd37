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
from rootbound.datasets.cache import Part, collect
from rootbound.datasets.dataset import Layout

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
