"""One `.npz` file of arrays, as Keras, MedMNIST and NumPy users have; read without trust.

Format: a zip archive of arrays, https://numpy.org/doc/stable/reference/generated/numpy.savez.html.
"""

from __future__ import annotations

import logging
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from rootbound.core.errors import InputError, first_line
from rootbound.datasets.cache import CHUNK, Part, collect, describe_files
from rootbound.datasets.classes import number_classes
from rootbound.datasets.dataset import AXES, DEFAULT_LAYOUT, Dataset, Layout, build_dataset

LARGEST = 8 * 2**30
"""Bytes the arrays may unpack to; a larger claim is refused before anything is allocated."""
NAMES = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
"""Names that the four arrays may have: those of Keras, and those of MedMNIST."""
log = logging.getLogger(__name__)


def npz_file(path: Path, layout: Layout = DEFAULT_LAYOUT) -> Dataset:
    """Load inputs and labels for training and testing; nothing in the file is executed.

    Images `(N, H, W)` or `(N, H, W, C)` become `(N, C, H, W)`; any other inputs are taken as they
    are. Of four axes, the channels are the one that is shorter than the two others; where that is
    none, or both of them, `layout` says it. Labels are whole numbers from 0, `(N,)` or
    `(N, 1)`; a number that no sample has is no class.
    Inputs are scaled by the mean and the deviation of the training samples.

    Args:
        path: The file.
        layout: How much may be in memory, and the order of the axes of images.

    Raises:
        InputError: The file is missing, damaged or too large, or an array is missing or not of
            that form, or may be read in two ways.
    """
    try:
        names, large, unused = _find_names(path, layout)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names if name not in large}
        parts = [
            (
                _stream_inputs(path, inputs, layout)
                if inputs in large
                else _check_inputs(path, inputs, arrays[inputs], layout.axes),
                _check_labels(path, labels, arrays[labels]),
            )
            for inputs, labels in (names[:2], names[2:])
        ]
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"an .npz file at {path}", "no such file", "check the path") from None
    except Exception as error:  # NumPy reads heads as Python: its parser raises what it likes
        raise InputError(
            f"a readable .npz file at {path}",
            first_line(error),
            "the file is damaged or holds objects",
        ) from None
    train, test = parts
    if math.prod(train[0].shape) < 2:  # they have no deviation
        raise InputError(f"at least one sample in {path}", "none", "check the file")
    classes, labels = number_classes(train[1], test[1])
    train, test = (train[0], labels[0]), (test[0], labels[1])
    conversion = f"{' and '.join(unused)} not used" if unused else ""
    if conversion:
        log.warning("%s: %s", path, conversion)
    return build_dataset(path.stem, classes, train, test, conversion=conversion)


def _find_names(path: Path, layout: Layout) -> tuple[tuple[str, ...], set[str], list[str]]:
    """Return the names of the four arrays, of inputs too large for memory, and of other arrays."""
    with zipfile.ZipFile(path) as archive:
        sizes = {
            member.filename.removesuffix(".npy"): member.file_size for member in archive.infolist()
        }
    names = next((names for names in NAMES if set(names) <= set(sizes)), None)
    if names is None:
        wanted = " or ".join(", ".join(names) for names in NAMES)
        raise InputError(f"arrays {wanted} in {path}", ", ".join(sizes)[:160], "rename them")
    large = {name for name in names[::2] if sizes[name] > layout.in_memory * 2**30}
    size = sum(sizes[name] for name in names if name not in large)
    if size > LARGEST:
        raise InputError(f"{path} of at most {LARGEST} bytes", str(size), "split the file")
    return names, large, [name for name in sizes if name not in names]


def _stream_inputs(path: Path, name: str, layout: Layout) -> Tensor:
    """Return inputs that are too large for memory, in a file of their own."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        read_head = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        version = npy.read_magic(file)
        if version not in read_head:
            raise ValueError(f"{name} of version {version}")
        shape, transposed, kind = read_head[version](file)
        if kind.hasobject or transposed:
            raise ValueError(f"{name} holds objects, or its last index counts first")
        row = kind.itemsize * math.prod(shape[1:])

        def parts() -> Iterator[Part]:
            for start in range(0, shape[0], CHUNK):
                count = min(CHUNK, shape[0] - start)
                content = file.read(count * row)
                values = np.frombuffer(content, kind).reshape(count, *shape[1:])
                inputs = _check_inputs(path, name, values.copy(), layout.axes)
                yield inputs, torch.arange(start, start + count)
            if file.read(1):  # reading to the end checks the checksum, too
                raise ValueError(f"{name} is longer than its head says")

        return collect(shape[0], parts(), f"{describe_files([path])} {name}", layout)[0]


def _check_inputs(path: Path, name: str, values: NDArray[np.generic], axes: str | None) -> Tensor:
    """Return inputs as bytes or float32, images with their channels first."""
    if not (values.dtype == np.uint8 or values.dtype.kind == "f") or values.ndim < 2:
        raise InputError(
            f"bytes or floating point of at least two dimensions in {name} of {path}",
            f"{values.dtype} of shape {values.shape}",
            "convert them",
        )
    if axes is not None and values.ndim != 4:
        raise InputError(
            f"four axes in {name} of {path}, as --layout says",
            f"shape {values.shape}",
            "leave --layout out",
        )
    inputs = torch.from_numpy(values if values.dtype == np.uint8 else values.astype(np.float32))
    if inputs.dim() == 3:
        return inputs.unsqueeze(1)
    if inputs.dim() == 4 and (axes or _find_axes(path, name, values.shape)) == "NHWC":
        return inputs.permute(0, 3, 1, 2).contiguous()
    return inputs


def _find_axes(path: Path, name: str, shape: tuple[int, ...]) -> str:
    """Return the order of the axes of images, where their sides leave no other."""
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
            f"images in {name} of {path} with fewer channels than pixels a side",
            f"shape {shape}, which may be read in two ways",
            f"say which by --layout {' or '.join(AXES)}",
        )
    return readings[0]


def _check_labels(path: Path, name: str, values: NDArray[np.generic]) -> Tensor:
    if values.dtype.kind not in "iu" or values.size != len(values):
        raise InputError(
            f"one whole number a sample in {name} of {path}",
            f"{values.dtype} of shape {values.shape}",
            "store class numbers from 0",
        )
    return torch.from_numpy(values.reshape(-1).astype(np.int64))
