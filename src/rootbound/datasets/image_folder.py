"""Folders of image files, one folder a class: `train/cat/1.png`, `test/cat/2.png`."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import Data
from rootbound.datasets.cache import stamp
from rootbound.datasets.dataset import Dataset
from rootbound.datasets.images import scaling, stacked
from rootbound.datasets.layout import AS_FOUND, Layout

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
TESTS = ("test", "validation", "valid", "val")
"""Names of the part to be judged on, the first that there is."""


def is_image_folder(folder: Path) -> bool:
    """Return whether there is a folder `train` with folders of images."""
    return any(path.suffix.lower() in SUFFIXES for path in folder.glob("train/*/*"))


def image_folder(folder: Path, layout: Layout = AS_FOUND) -> Dataset:
    """Load images from `train` and `test`, a folder for each class; classes are sorted by name.

    Pixels become bytes, grey or RGB, and are scaled by mean and deviation of the training images.

    Args:
        folder: with the two parts.
        layout: what to do about images that cannot be read.

    Raises:
        InputError: a part is missing, a class to be judged on has no training images, or an
            image cannot be read or has another size.
    """
    test = next((name for name in TESTS if (folder / name).is_dir()), None)
    if test is None:
        raise InputError(f"a folder test in {folder}", "none", "split the images")
    classes = _classes(folder / "train")
    if others := set(_classes(folder / test)) - set(classes):
        raise InputError(
            f"classes of {folder / 'train'} in {folder / test}",
            ", ".join(sorted(others)),
            "remove those folders, or add training images",
        )
    inputs, labels = _read(folder / "train", classes, layout)
    scale = scaling(inputs)
    held = _read(folder / test, classes, layout)
    return Dataset(folder.name, classes, Data(inputs, labels, scale), Data(*held, scale))


def _classes(folder: Path) -> tuple[str, ...]:
    """Return the names of folders, without hidden ones such as those of editors."""
    found = (path.name for path in folder.iterdir() if path.is_dir())
    return tuple(sorted(name for name in found if not name.startswith(".")))


def _read(folder: Path, classes: tuple[str, ...], layout: Layout) -> tuple[Tensor, Tensor]:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(path for path in (folder / name).glob("*") if _is_image(path))
        paths += found
        labels += [label] * len(found)

    def opened(index: int) -> Image.Image:
        with Image.open(paths[index]) as image:
            image.load()
            return image

    inputs, kept = stacked(
        len(paths), opened, lambda index: str(paths[index]), stamp(paths), layout
    )
    return inputs, torch.tensor(labels)[kept]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES
