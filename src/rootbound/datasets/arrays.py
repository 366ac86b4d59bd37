"""NumPy arrays as inputs and labels: their types, shapes and order of axes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.datasets.dataset import AXES


def read_inputs(where: str, values: NDArray[np.generic], axes: str | None) -> Tensor:
    """Return inputs as bytes or float32, images with their channels first.

    Args:
        where: Name of the array in errors.
        values: Samples in rows; images `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)`.
        axes: Order of the four axes of images; None to guess it from their lengths.

    Raises:
        InputError: They have another type or shape, or the order of axes is ambiguous.
    """
    if not (values.dtype == np.uint8 or values.dtype.kind == "f") or values.ndim < 2:
        raise InputError(
            f"bytes or floating point of at least two dimensions in {where}",
            f"{values.dtype} of shape {values.shape}",
            "convert them",
        )
    if axes is not None and values.ndim != 4:
        raise InputError(
            f"four axes in {where}, as `axes` says",
            f"shape {values.shape}",
            "leave `axes` out",
        )
    inputs = torch.from_numpy(values if values.dtype == np.uint8 else values.astype(np.float32))
    if inputs.dim() == 3:
        return inputs.unsqueeze(1)
    if inputs.dim() == 4 and (axes or _find_axes(where, values.shape)) == "NHWC":
        return inputs.permute(0, 3, 1, 2).contiguous()
    return inputs


def _find_axes(where: str, shape: tuple[int, ...]) -> str:
    """Return the order of the axes of images, if their lengths leave only one."""
    _, first, second, third = shape
    readings = [
        order
        for order, channels, sides in (
            ("NHWC", third, (first, second)),
            ("NCHW", first, (second, third)),
        )
        if channels < min(sides)
    ]
    if len(readings) != 1:
        raise InputError(
            f"images in {where} with fewer channels than pixels on a side",
            f"shape {shape}, which may be read in two ways",
            f"say which by `axes` {' or '.join(AXES)}",
        )
    return readings[0]


def read_labels(where: str, values: NDArray[np.generic]) -> Tensor:
    """Return labels as int64.

    Raises:
        InputError: They are not one whole number per sample.
    """
    if values.dtype.kind not in "iu" or values.size != len(values):
        raise InputError(
            f"one whole number per sample in {where}",
            f"{values.dtype} of shape {values.shape}",
            "store class numbers from 0",
        )
    return torch.from_numpy(values.reshape(-1).astype(np.int64))
