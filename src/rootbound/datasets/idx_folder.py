"""Any folder of four IDX files named as MNIST's are (Fashion-MNIST, KMNIST, EMNIST, your own)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from rootbound.data import Data, Scaling
from rootbound.datasets import idx
from rootbound.datasets.dataset import Dataset
from rootbound.errors import InputError


def idx_folder(folder: Path) -> Dataset:
    """Load `train-…`, `t10k-…` `images-idx3-ubyte` and `labels-idx1-ubyte`, plain or `.gz`.

    Pixels are scaled by the mean and the deviation of the training images.

    Raises:
        InputError: a file is missing, damaged, or images and labels do not fit.
    """
    images = _images(folder, "train")
    if images.numel() < 2:  # they have no deviation
        raise InputError(f"at least one sample in {folder}", "none", "check the files")
    pixels = images.float() / 255.0
    scaling = Scaling(255.0, float(pixels.mean()), max(float(pixels.std()), 1e-6))
    train = Data(images, _find(folder, "train-labels-idx1-ubyte", 1).long(), scaling)
    test = Data(_images(folder, "t10k"), _find(folder, "t10k-labels-idx1-ubyte", 1).long(), scaling)
    classes = tuple(str(label) for label in range(int(train.labels.max()) + 1))
    return Dataset(folder.name, classes, train, test)


def _images(folder: Path, prefix: str) -> Tensor:
    return _find(folder, f"{prefix}-images-idx3-ubyte", 3).unsqueeze(1)


def _find(folder: Path, name: str, dimensions: int) -> Tensor:
    paths = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if not paths:
        raise InputError(
            f"{name} or {name}.gz in {folder}", "neither", "point --data at a folder of IDX files"
        )
    values = idx.read(paths[0])
    if values.dim() != dimensions:
        raise InputError(
            f"{dimensions} dimensions in {paths[0]}", f"{values.dim()}", "check the files' names"
        )
    return values
