"""Folders of image files, one folder a class: `train/cat/1.png`, `test/cat/2.png`."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from rootbound.core.errors import InputError
from rootbound.datasets.cache import describe_files
from rootbound.datasets.dataset import DEFAULT_LAYOUT, Dataset, Layout, Samples, build_dataset
from rootbound.datasets.images import stack_images

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
TESTS = ("test", "validation", "valid", "val")
"""Names that the part to be judged on may have; the first that there is counts."""


def is_image_folder(folder: Path) -> bool:
    """Return whether there is a folder `train` with folders of images."""
    return any(path.suffix.lower() in SUFFIXES for path in folder.glob("train/*/*"))


def image_folder(folder: Path, layout: Layout = DEFAULT_LAYOUT) -> Dataset:
    """Load images from `train` and `test`, a folder for each class; classes are sorted by name.

    Pixels become bytes, grey or RGB, and are scaled by mean and deviation of the training images.

    Args:
        folder: The folder with the two parts.
        layout: What to do about images that cannot be read.

    Raises:
        InputError: A part is missing, a class to be judged on has no training images, or an
            image cannot be read or has another size.
    """
    test = next((name for name in TESTS if (folder / name).is_dir()), None)
    if test is None:
        raise InputError(f"a folder test in {folder}", "none", "split the images")
    classes = _find_classes(folder / "train")
    if unknown := set(_find_classes(folder / test)) - set(classes):
        raise InputError(
            f"classes of {folder / 'train'} in {folder / test}",
            ", ".join(sorted(unknown)),
            "remove those folders, or add training images",
        )
    parts = (_read(folder / name, classes, layout) for name in ("train", test))
    return build_dataset(folder.name, classes, *parts)


def _find_classes(folder: Path) -> tuple[str, ...]:
    """Return the names of folders, without hidden ones such as those of editors."""
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return tuple(sorted(name for name in names if not name.startswith(".")))


def _read(folder: Path, classes: tuple[str, ...], layout: Layout) -> Samples:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        images = (path for path in (folder / name).glob("*") if path.suffix.lower() in SUFFIXES)
        paths += sorted(images)
        labels += [label] * (len(paths) - len(labels))

    def open_image(number: int) -> Image.Image:
        with Image.open(paths[number]) as image:
            image.load()
            return image

    def locate(number: int) -> str:
        return str(paths[number])

    inputs, numbers = stack_images(len(paths), open_image, locate, describe_files(paths), layout)
    return inputs, torch.tensor(labels)[numbers]
