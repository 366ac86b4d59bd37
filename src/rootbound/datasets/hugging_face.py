"""Images that the library `datasets` can read: a folder of files, or a data set on the hub."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from rootbound.data import Data, Scaling
from rootbound.datasets.dataset import Dataset
from rootbound.errors import InputError

TESTS = ("test", "validation", "valid", "val")
"""Names of the part to be judged on, the first that there is."""


def hugging_face(name: str) -> Dataset:
    """Load images with their class: parquet, CSV or JSON files, one folder a class, or the hub's.

    The columns of images and of labels are those that the data set declares as such. Pixels
    become bytes, grey or RGB, and are scaled by the mean and the deviation of the training
    images. Nothing in the data set is executed.

    Args:
        name: a folder, or the name of a data set on the hub, such as `uoft-cs/cifar10`.

    Raises:
        InputError: the library is not installed, there is no such data set, it lacks a column
            or a part, or an image cannot be read or has another size.
    """
    parts = _parts(name)
    train = parts.get("train")
    test = next((parts[part] for part in TESTS if part in parts), None)
    if train is None or test is None:
        raise InputError(
            f"parts named train and test in {name}", ", ".join(parts), "split and name the data"
        )
    image, label = _columns(name, train.features)
    inputs = _images(name, train, image)
    pixels = inputs[torch.linspace(0, len(inputs) - 1, min(len(inputs), 10_000)).long()] / 255.0
    scaling = Scaling(255.0, float(pixels.mean()), max(float(pixels.std()), 1e-6))
    return Dataset(
        Path(name).name,
        tuple(train.features[label].names),
        Data(inputs, _labels(train, label), scaling),
        Data(_images(name, test, image), _labels(test, label), scaling),
    )


def _parts(name: str) -> dict[str, Any]:
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError:
        raise InputError(
            f"the library `datasets`, to read {name}", "none", "pip install 'rootbound[data]'"
        ) from None
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        return dict(datasets.load_dataset(name))
    except Exception as error:  # of whatever library reads that format
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"a data set that `datasets` can load at {name}", reason, "check the name or the files"
        ) from None


def _columns(name: str, features: Any) -> tuple[str, str]:
    """Return the names of the columns that hold images and classes."""
    found = []
    for kind, example in (("Image", "images"), ("ClassLabel", "class labels")):
        columns = [column for column, of in features.items() if type(of).__name__ == kind]
        if len(columns) != 1:
            raise InputError(
                f"one column of {example} (type {kind}) in {name}",
                ", ".join(f"{column}: {type(of).__name__}" for column, of in features.items()),
                "cast the column with `datasets`, and save it again",
            )
        found.append(columns[0])
    return found[0], found[1]


def _images(name: str, part: Any, column: str) -> Tensor:
    """Return all images as bytes `(N, C, H, W)`."""
    if not len(part):
        raise InputError(f"images in {name}", "none", "check the files")
    grey = False
    stored: Tensor | None = None
    for index in tqdm(range(len(part)), "images", leave=False, disable=None):
        try:
            image = part[index][column]
            if index == 0:
                grey = image.mode in ("1", "L")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
        except Exception as error:  # a strange file may fail in any way
            reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
            raise InputError(
                f"a readable image at row {index} of {name}", reason, "remove or replace it"
            ) from None
        if stored is None:
            stored = torch.empty(len(part), 1 if grey else 3, *pixels.shape[:2], dtype=torch.uint8)
        if pixels.shape[:2] != stored.shape[2:]:
            raise InputError(
                f"images of {tuple(stored.shape[2:])} pixels, as the first of {name}",
                f"{pixels.shape[:2]} at row {index}",
                "resize them",
            )
        values = torch.from_numpy(pixels.copy())
        stored[index] = values if grey else values.permute(2, 0, 1)
    assert stored is not None
    return stored


def _labels(part: Any, column: str) -> Tensor:
    return torch.tensor(part[column][:], dtype=torch.int64)
