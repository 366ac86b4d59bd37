"""Folders of four IDX files with the names of MNIST's (Fashion-MNIST, KMNIST, EMNIST, your own)."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data.mapped import MappedRows
from rootbound.datasets import idx
from rootbound.datasets.cache import CHUNK, collect, describe_files
from rootbound.datasets.classes import number_classes
from rootbound.datasets.dataset import DEFAULT_LAYOUT, Dataset, Layout, build_dataset


def idx_folder(folder: Path | str, layout: Layout = DEFAULT_LAYOUT) -> Dataset:
    """Load `train-…`, `t10k-…` `images-idx3-ubyte` and `labels-idx1-ubyte`, plain or `.gz`.

    Pixels are scaled by the mean and the deviation of the training images.

    Args:
        folder: The folder with the files.
        layout: How much may be in memory.

    Raises:
        InputError: A file is missing, damaged, or images and labels do not fit.
    """
    folder = Path(folder)
    train, test = (
        (
            _read_images(_find(folder, f"{prefix}-images-idx3-ubyte"), layout),
            _read_labels(_find(folder, f"{prefix}-labels-idx1-ubyte")),
        )
        for prefix in ("train", "t10k")
    )
    images, _ = train
    if math.prod(images.shape) < 2:  # a standard deviation needs two values
        raise InputError(f"at least one sample in {folder}", "none", "check the files")
    classes, labels = number_classes(train[1], test[1])
    train, test = (images, labels[0]), (test[0], labels[1])
    most = None if isinstance(images, MappedRows) else len(images)
    return build_dataset(folder.name, classes, train, test, most=most)


def _read_images(path: Path, layout: Layout) -> Tensor:
    shape = _check_dimensions(path, 3)
    if math.prod(shape) <= layout.in_memory * 2**30:
        return idx.read(path).unsqueeze(1)
    numbers = torch.arange(shape[0]).split(CHUNK)
    images = (part.unsqueeze(1) for part in idx.read_parts(path, CHUNK))
    parts = zip(images, numbers, strict=False)
    return collect(shape[0], parts, describe_files([path]), layout)[0]


def _read_labels(path: Path) -> Tensor:
    _check_dimensions(path, 1)
    return idx.read(path).long()


def _check_dimensions(path: Path, dimensions: int) -> tuple[int, ...]:
    shape = idx.read_shape(path)
    if len(shape) != dimensions:
        raise InputError(
            f"{dimensions} dimensions in {path}", f"{len(shape)}", "check the files' names"
        )
    return shape


def _find(folder: Path, name: str) -> Path:
    paths = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if not paths:
        raise InputError(
            f"{name} or {name}.gz in {folder}", "neither", "give a folder of IDX files"
        )
    return paths[0]
