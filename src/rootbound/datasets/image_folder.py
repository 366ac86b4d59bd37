"""Folders of image files, one per class: `train/cat/1.png`, `test/cat/2.png`; or `cat/1.png`."""

from __future__ import annotations

import logging
import os
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
"""Possible names of the test part; the first that exists counts."""
SYSTEM = (
    "__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db", "desktop.ini",
)  # fmt: skip
"""Files and folders that operating systems create, besides hidden ones."""


def is_image_folder(folder: Path) -> bool:
    """Return whether there are folders of images, and no tables that describe them."""
    if any(_is_image(path) for path in folder.glob(f"{TRAIN}/*/*")):
        return True
    if any(path.suffix.lower() in TABLES for path in folder.rglob("*")):
        return False
    return any(_is_image(path) for path in folder.glob("*/**/*"))


def has_folders_of_images(folder: Path) -> bool:
    """Return whether a folder has folders of images, whatever else is in it."""
    return any(_is_image(path) for inner in ("*/*", f"{TRAIN}/*/*") for path in folder.glob(inner))


def image_folder(folder: Path | str, layout: Layout = DEFAULT_LAYOUT) -> Dataset:
    """Load images from a folder for each class, inside `train` and `test` or not; sorted by name.

    If there is no test part, a share of each class is held out. Pixels are grey or RGB; they are
    bytes, or 16-bit or floating-point numbers if the files have these, and are scaled by mean and
    deviation of the training images.

    Args:
        folder: The folder with the parts, or with the classes.
        layout: What to do about images that cannot be read, and how many to hold out.

    Raises:
        InputError: A test class has no training images, images are in deeper folders, or an image
            cannot be read or has another size.
    """
    folder = Path(folder)
    whole = _Place.scan(folder)
    parts = {place.path.name: place for place in whole.folders}
    tests = [name for name in TESTS if name in parts]
    top = parts.get(TRAIN, whole)
    if tests and top is whole:
        raise InputError(f"a folder {TRAIN} in {folder}", f"{tests[0]} alone", "add it")
    places = [place for place in top.folders if top is not whole or place.has_images]
    classes = tuple(place.path.name for place in places)
    for place in places:
        if not _is_text(place.path.name):
            raise InputError(
                f"names of classes in UTF-8 in {top.path}", ascii(place.path.name), "rename it"
            )
    if not any(place.has_images for place in places):
        raise InputError(
            f"folders of images in {top.path}, one per class", "none", "check the path"
        )
    train = _gather(top, classes)
    remarks = top.describe_others()
    if tests:
        refuse_holdout(layout, str(parts[tests[0]].path))
        test = _gather_test(parts[tests[0]], top, classes)
        remarks += _describe_test(parts[tests[0]], classes, test.labels)
        remarks += [f"the part {name} not used" for name in tests[1:]]
    else:
        _refuse_other_parts(whole, top, layout)
        rows, held, remark = hold_out(train.labels, classes, layout)
        train, test = train.select(rows), train.select(held)
        remarks.append(remark)
    for remark in remarks:
        log.warning("%s: %s", folder, remark)
    files = train.files, test.files
    return build_from_images(folder.resolve().name, classes, files, layout, remarks)


@dataclass(frozen=True)
class _Place:
    """The sorted content of a folder, without hidden files and those of operating systems."""

    path: Path
    folders: list[_Place]
    images: list[Path]
    others: list[Path]

    @classmethod
    def scan(cls, path: Path) -> _Place:
        """Scan a folder and all folders inside it.

        Raises:
            InputError: A link leads back to a folder that it is in.
        """
        place = cls(path, [], [], [])
        if path.resolve() in (above.resolve() for above in path.parents):
            raise InputError(
                f"a folder at {path}", "a link to a folder that it is in", "remove the link"
            )
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            inner = Path(entry.path)
            if not _is_own(inner):
                continue
            if entry.is_dir():
                place.folders.append(cls.scan(inner))
            else:
                (place.images if _is_image(inner) else place.others).append(inner)
        return place

    @property
    def has_images(self) -> bool:
        """Whether there are images at any depth."""
        return bool(self.images) or any(inner.has_images for inner in self.folders)

    def describe_others(self) -> list[str]:
        """Return remarks about files that are not read because they are in no class."""
        remarks = []
        name = self.path.name
        if self.images:
            remarks.append(f"{len(self.images)} images in no folder of a class left out of {name}")
        kinds = Counter(
            path.suffix.lower() or "without a suffix"
            for place in self.folders
            for path in place.others
        )
        if kinds:
            named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
            remarks.append(f"files left out of {name} that are no images known here: {named}")
        return remarks


@dataclass(frozen=True)
class _Part:
    """Image files with their classes."""

    paths: list[Path]
    labels: Tensor

    def select(self, rows: Tensor) -> _Part:
        """Return some of the images."""
        return _Part([self.paths[row] for row in rows.tolist()], self.labels[rows])

    @property
    def files(self) -> ImageFiles:
        """The images, for reading one by one."""
        return ImageFiles(
            self.labels,
            lambda number: Image.open(self.paths[number]),
            lambda number: str(self.paths[number]),
            describe_files(self.paths),
        )


def _gather(part: _Place, classes: Sequence[str]) -> _Part:
    """Return the images in the folders of classes.

    Raises:
        InputError: There are more images in folders inside, so that two names may be their class.
    """
    paths: list[Path] = []
    labels: list[int] = []
    for place in part.folders:
        if place.path.name not in classes:
            continue
        inner = [one.path.name for one in place.folders if one.has_images]
        if inner:
            raise InputError(
                f"images in {place.path} itself, whose name is their class",
                f"folders of images: {', '.join(inner[:5])}",
                "move the images up, or give the folder whose folders are the classes",
            )
        paths += place.images
        labels += [classes.index(place.path.name)] * len(place.images)
    return _Part(paths, torch.tensor(labels, dtype=torch.int64))


def _gather_test(part: _Place, train: _Place, classes: Sequence[str]) -> _Part:
    """Return the test images.

    Raises:
        InputError: A class has no training images.
    """
    unknown = [place.path.name for place in part.folders if place.path.name not in classes]
    if unknown:
        raise InputError(
            f"classes of {train.path} in {part.path}",
            ", ".join(unknown),
            "remove those folders, or add training images",
        )
    return _gather(part, classes)


def _describe_test(part: _Place, classes: Sequence[str], labels: Tensor) -> list[str]:
    """Return remarks about files that are not read, and about classes without an image."""
    missing = [name for label, name in enumerate(classes) if label not in labels]
    without = [f"no images of {', '.join(missing)} in {part.path.name}"] if missing else []
    return part.describe_others() + without


def _refuse_other_parts(folder: _Place, train: _Place, layout: Layout) -> None:
    """Raise an `InputError` where a folder beside `train` may be a part under another name."""
    beside = [one.path.name for one in folder.folders if one is not train and one.has_images]
    if train is not folder and beside and layout.holdout is None:
        raise InputError(
            f"a folder test in {folder.path}",
            f"{', '.join(beside[:5])} beside {TRAIN}",
            "rename it, or pass `holdout` to do without",
        )


def _is_own(path: Path) -> bool:
    """Return whether a file or folder is the user's, not the operating system's."""
    return not path.name.startswith(".") and path.name not in SYSTEM


def _is_text(name: str) -> bool:
    """Return whether the name of a file is valid text in its encoding."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and _is_own(path)
