"""Any folder of four IDX files named as MNIST's are (Fashion-MNIST, KMNIST, EMNIST, your own)."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import Data
from rootbound.data.mapped import Mapped
from rootbound.datasets import idx
from rootbound.datasets.cache import CHUNK, kept, stamp
from rootbound.datasets.dataset import Dataset
from rootbound.datasets.images import scaling
from rootbound.datasets.layout import AS_FOUND, Layout


def idx_folder(folder: Path, layout: Layout = AS_FOUND) -> Dataset:
    """Load `train-…`, `t10k-…` `images-idx3-ubyte` and `labels-idx1-ubyte`, plain or `.gz`.

    Pixels are scaled by the mean and the deviation of the training images.

    Args:
        folder: with the files.
        layout: says how much may be in memory.

    Raises:
        InputError: a file is missing, damaged, or images and labels do not fit.
    """
    parts = [
        (_images(_path(folder, f"{prefix}-images-idx3-ubyte"), layout), _labels(folder, prefix))
        for prefix in ("train", "t10k")
    ]
    (images, labels), _ = parts
    if images.numel() < 2:  # they have no deviation
        raise InputError(f"at least one sample in {folder}", "none", "check the files")
    scale = scaling(images, None if isinstance(images, Mapped) else len(images))
    train, test = (Data(*part, scale) for part in parts)
    return Dataset(folder.name, tuple(map(str, range(int(labels.max()) + 1))), train, test)


def _images(path: Path, layout: Layout) -> Tensor:
    shape = _checked(idx.claimed(path), 3, path)
    if math.prod(shape) <= layout.in_memory * 2**30:
        return idx.read(path).unsqueeze(1)
    places = torch.arange(shape[0]).split(CHUNK)
    images = (part.unsqueeze(1) for part in idx.parts(path, CHUNK))
    return kept(shape[0], zip(images, places, strict=False), stamp([path]), layout)[0]


def _labels(folder: Path, prefix: str) -> Tensor:
    path = _path(folder, f"{prefix}-labels-idx1-ubyte")
    _checked(idx.claimed(path), 1, path)
    return idx.read(path).long()


def _checked(shape: tuple[int, ...], dimensions: int, path: Path) -> tuple[int, ...]:
    if len(shape) != dimensions:
        raise InputError(
            f"{dimensions} dimensions in {path}", f"{len(shape)}", "check the files' names"
        )
    return shape


def _path(folder: Path, name: str) -> Path:
    paths = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if not paths:
        raise InputError(
            f"{name} or {name}.gz in {folder}", "neither", "point --data at a folder of IDX files"
        )
    return paths[0]
