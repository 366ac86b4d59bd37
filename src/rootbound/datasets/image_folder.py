"""Folders of image files, one a class: `train/cat/1.png`, `test/cat/2.png`; or `cat/1.png`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.datasets.cache import describe_files
from rootbound.datasets.dataset import DEFAULT_LAYOUT, Dataset, Layout
from rootbound.datasets.holdout import hold_out, refuse_holdout
from rootbound.datasets.images import ImageFiles, build_from_images

log = logging.getLogger(__name__)
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
    ".pbm", ".jp2", ".avif",
)  # fmt: skip
TABLES = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".arrow")
TRAIN = "train"
TESTS = ("test", "validation", "valid", "val")
"""Names that the part to be judged on may have; the first that there is counts."""
SYSTEM = (
    "__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db", "desktop.ini",
)  # fmt: skip
"""Files and folders that systems leave behind, besides hidden ones."""


def is_image_folder(folder: Path) -> bool:
    """Return whether there are folders of images, and no tables that say what is in them."""
    if any(_is_image(path) for path in folder.glob(f"{TRAIN}/*/*")):
        return True
    if any(path.suffix.lower() in TABLES for path in folder.rglob("*")):
        return False
    return any(_is_image(path) for path in folder.glob("*/**/*"))


def image_folder(folder: Path, layout: Layout = DEFAULT_LAYOUT) -> Dataset:
    """Load images from a folder for each class, in `train` and `test` or without; sorted by name.

    Without a part to be judged on, a share of each class is held out. Pixels become bytes, or
    numbers of 16 bits or floating point where the files have those, grey or RGB, and are scaled by
    mean and deviation of the training images.

    Args:
        folder: The folder with the parts, or with the classes.
        layout: What to do about images that cannot be read, and how many to hold out.

    Raises:
        InputError: A class to be judged on has no training images, images lie deeper, or an image
            cannot be read as it is or has another size.
    """
    tests = [name for name in TESTS if (folder / name).is_dir()]
    top = folder / TRAIN if (folder / TRAIN).is_dir() else folder
    if tests and top == folder:
        raise InputError(f"a folder {TRAIN} in {folder}", f"{tests[0]} alone", "add it")
    folders = [path for path in _list_folders(top) if top != folder or _list_images(path)]
    classes = tuple(path.name for path in folders)
    if not any(map(_list_images, folders)):
        raise InputError(f"folders of images in {top}, one a class", "none", "check the path")
    train = _Part.find(top, classes)
    remarks = [*train.remarks]
    if tests:
        refuse_holdout(layout, str(folder / tests[0]))
        test = _find_test(folder / tests[0], top, classes)
        remarks += test.remarks + [f"the part {name} not used" for name in tests[1:]]
    else:
        _refuse_other_parts(folder, top, layout)
        rows, held, remark = hold_out(train.labels, classes, layout)
        train, test = train.select(rows), train.select(held)
        remarks.append(remark)
    for remark in remarks:
        log.warning("%s: %s", folder, remark)
    files = train.files, test.files
    return build_from_images(folder.resolve().name, classes, files, layout, remarks)


def _find_test(folder: Path, train: Path, classes: tuple[str, ...]) -> _Part:
    others = {path.name for path in _list_folders(folder)} - set(classes)
    if others:
        raise InputError(
            f"classes of {train} in {folder}",
            ", ".join(sorted(others)),
            "remove those folders, or add training images",
        )
    part = _Part.find(folder, classes)
    missing = [name for name in classes if not _list_images(folder / name)]
    if missing:
        part.remarks.append(f"no images of {', '.join(missing)} in {folder.name}")
    return part


def _refuse_other_parts(folder: Path, train: Path, layout: Layout) -> None:
    """Raise an `InputError` where a folder beside `train` may be a part under another name."""
    others = [path.name for path in _list_folders(folder) if path != train and _list_images(path)]
    if train != folder and others and layout.holdout is None:
        raise InputError(
            f"a folder test in {folder}",
            f"{', '.join(others[:5])} beside {TRAIN}",
            "rename it, or pass --holdout to do without",
        )


@dataclass(frozen=True)
class _Part:
    """Image files with their classes, and what is to be said of the others there."""

    paths: list[Path]
    labels: Tensor
    remarks: list[str]

    @classmethod
    def find(cls, folder: Path, classes: Sequence[str]) -> _Part:
        """Return the images in the folders of classes.

        Raises:
            InputError: There are more in folders inside.
        """
        paths: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(classes):
            paths += _list_images(folder / name)
            labels += [label] * (len(paths) - len(labels))
            _refuse_deeper(folder / name)
        return cls(paths, torch.tensor(labels, dtype=torch.int64), _describe_others(folder))

    def select(self, rows: Tensor) -> _Part:
        """Return some of the images."""
        return _Part([self.paths[row] for row in rows.tolist()], self.labels[rows], [])

    @property
    def files(self) -> ImageFiles:
        """The images, to be read one by one."""
        return ImageFiles(
            self.labels,
            lambda number: Image.open(self.paths[number]),
            lambda number: str(self.paths[number]),
            describe_files(self.paths),
        )


def _is_own(path: Path) -> bool:
    """Return whether a file or folder is a user's, not one that a system leaves behind."""
    return not path.name.startswith(".") and path.name not in SYSTEM


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and _is_own(path)


def _list_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and _is_own(path))


def _list_images(folder: Path) -> list[Path]:
    """Return the images of a class, and of folders inside it, sorted."""
    if not folder.is_dir():
        return []
    deeper = [path for inner in _list_folders(folder) for path in _list_images(inner)]
    return sorted(filter(_is_image, folder.iterdir())) + deeper


def _refuse_deeper(folder: Path) -> None:
    """Raise an `InputError` where it is not said which of two folders is an image's class."""
    if not folder.is_dir():
        return
    inner = [path.name for path in _list_folders(folder) if _list_images(path)]
    if inner:
        raise InputError(
            f"images in {folder} itself, whose name is their class",
            f"folders of images: {', '.join(inner[:5])}",
            "move the images up, or give the folder whose folders are the classes",
        )


def _describe_others(folder: Path) -> list[str]:
    """Return a word about files that are not read, if there are some."""
    beside = [path for path in folder.iterdir() if path.is_file() and _is_image(path)]
    inside = [
        path
        for place in _list_folders(folder)
        for path in place.iterdir()
        if path.is_file() and _is_own(path) and not _is_image(path)
    ]
    remarks = []
    if beside:
        remarks.append(f"{len(beside)} images in no folder of a class left out of {folder.name}")
    if inside:
        kinds = Counter(path.suffix.lower() or "without a suffix" for path in inside)
        named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
        remarks.append(f"files left out of {folder.name} that are no images known here: {named}")
    return remarks
