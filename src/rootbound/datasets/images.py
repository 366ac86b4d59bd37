"""Images of any file format as one tensor of bytes."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from tqdm import tqdm

from rootbound.data import Scaling
from rootbound.errors import InputError

log = logging.getLogger(__name__)


def stacked(
    count: int, opened: Callable[[int], Image], place: Callable[[int], str], *, skip: bool = False
) -> tuple[Tensor, Tensor]:
    """Return images as bytes `(N, C, H, W)`, grey or RGB as the first is, and which they are.

    Args:
        count: how many there are.
        opened: returns the one of a number.
        place: says in words where that is, for errors.
        skip: leave out those that cannot be read, and say so in the log.

    Raises:
        InputError: there are none, one cannot be read, or one has another size than the first.
    """
    kept: list[int] = []
    stored: Tensor | None = None
    for index in tqdm(range(count), "images", leave=False, disable=None):
        try:
            image = opened(index)
            grey = image.mode in ("1", "L") if stored is None else stored.shape[1] == 1
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
        if stored is None:
            stored = torch.empty(count, 1 if grey else 3, *pixels.shape[:2], dtype=torch.uint8)
        if pixels.shape[:2] != stored.shape[2:]:
            raise InputError(
                f"images of {tuple(stored.shape[2:])} pixels, as the first one",
                f"{pixels.shape[:2]} at {place(index)}",
                "resize them",
            )
        values = torch.from_numpy(pixels.copy())
        stored[len(kept)] = values if grey else values.permute(2, 0, 1)
        kept.append(index)
    if stored is None:
        raise InputError("images", "none", "check the files")
    return stored[: len(kept)], torch.tensor(kept)


def scaling(inputs: Tensor) -> Scaling:
    """Return the scaling by mean and deviation of at most 10,000 of the images."""
    pixels = inputs[torch.linspace(0, len(inputs) - 1, min(len(inputs), 10_000)).long()] / 255.0
    return Scaling(255.0, float(pixels.mean()), max(float(pixels.std()), 1e-6))
