"""Reading an `.npz` file of arrays, as Keras, MedMNIST and NumPy users have; it is not trusted.

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
from torch import Tensor

from rootbound.core.errors import InputError, take_first_line
from rootbound.datasets.arrays import read_inputs, read_labels
from rootbound.datasets.cache import CHUNK, Part, collect, describe_files
from rootbound.datasets.classes import number_classes
from rootbound.datasets.dataset import DEFAULT_LAYOUT, Dataset, Layout, build_dataset

LARGEST = 8 * 2**30
"""Most bytes that arrays may unpack to; a larger claim is refused before anything is allocated."""
NAMES = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
"""Names that the four arrays may have: those of Keras, and those of MedMNIST."""
log = logging.getLogger(__name__)


def npz_file(path: Path | str, layout: Layout = DEFAULT_LAYOUT) -> Dataset:
    """Load inputs and labels for training and testing; nothing in the file is executed.

    Images `(N, H, W)` or `(N, H, W, C)` become `(N, C, H, W)`; any other inputs stay as they are.
    With four axes, the channels are the axis that is shorter than the two others; if that is
    ambiguous, `layout` must say it. Labels are whole numbers from 0, `(N,)` or `(N, 1)`; a number
    without samples is not a class. Inputs are scaled by the mean and the deviation of the training
    samples.

    Args:
        path: The file.
        layout: How much may be in memory, and the order of the axes of images.

    Raises:
        InputError: The file is missing, damaged or too large; or an array is missing, has another
            form, or has an ambiguous order of axes.
    """
    path = Path(path)
    try:
        names, large, unused = _find_names(path, layout)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names if name not in large}
        parts = [
            (
                _stream_inputs(path, inputs, layout)
                if inputs in large
                else read_inputs(f"{inputs} of {path}", arrays[inputs], layout.axes),
                read_labels(f"{labels} of {path}", arrays[labels]),
            )
            for inputs, labels in (names[:2], names[2:])
        ]
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"an .npz file at {path}", "no such file", "check the path") from None
    except Exception as error:  # NumPy parses headers as Python, which may raise anything
        raise InputError(
            f"a readable .npz file at {path}",
            take_first_line(error),
            "the file is damaged or holds objects",
        ) from None
    train, test = parts
    if math.prod(train[0].shape) < 2:  # a standard deviation needs two values
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
        members = archive.infolist()
    sizes = {member.filename.removesuffix(".npy"): member.file_size for member in members}
    if len(sizes) < len(members):  # NumPy might read the one whose size was not checked
        raise ValueError("two arrays of one name")
    names = next((names for names in NAMES if set(names) <= set(sizes)), None)
    if names is None:
        wanted = " or ".join(", ".join(names) for names in NAMES)
        raise InputError(
            f"arrays {wanted} in {path}",
            ", ".join(sizes)[:160],
            "rename them, or add what is missing",
        )
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
            raise ValueError(f"{name} has objects or Fortran order")
        row = kind.itemsize * math.prod(shape[1:])

        def parts() -> Iterator[Part]:
            for start in range(0, shape[0], CHUNK):
                count = min(CHUNK, shape[0] - start)
                content = file.read(count * row)
                values = np.frombuffer(content, kind).reshape(count, *shape[1:])
                inputs = read_inputs(f"{name} of {path}", values.copy(), layout.axes)
                yield inputs, torch.arange(start, start + count)
            if file.read(1):  # reading to the end also verifies the checksum
                raise ValueError(f"{name} is longer than its header says")

        source = f"{describe_files([path])} {name} {layout.axes}"
        return collect(shape[0], parts(), source, layout)[0]
