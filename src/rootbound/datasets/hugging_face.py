"""What the library `datasets` can read, images or texts: local files, or a data set on the hub."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import Data
from rootbound.datasets.column import Column
from rootbound.datasets.dataset import Dataset
from rootbound.datasets.image_folder import TESTS
from rootbound.datasets.images import scaling, stacked
from rootbound.datasets.layout import AS_FOUND, Layout
from rootbound.datasets.texts import Labelled, Texts

IMAGE, CLASSES = "Image", "ClassLabel"
WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")


def hugging_face(name: str, layout: Layout = AS_FOUND) -> Dataset | Texts:
    """Load images or texts with their class: parquet, CSV or JSON files, folders, or the hub's.

    A column of type Image holds images, otherwise one of strings holds texts. Pixels become
    bytes, grey or RGB, and are scaled by the mean and the deviation of the training images.
    Nothing in the data set is executed.

    Args:
        name: a folder, or the name of a data set on the hub, such as `uoft-cs/cifar10`; with
            `NAME:CONFIGURATION@REVISION` one of its configurations, as of a commit, tag or branch.
        layout: names of columns, where they are not found by their type, of parts and classes.

    Raises:
        InputError: the library is not installed, there is no such data set, it lacks a column
            or a part, a label is no class, or an image cannot be read or has another size.
    """
    parts = _parts(name, layout)
    train = parts.get("train")
    test = next((parts[part] for part in TESTS if part in parts), None)
    if train is None or test is None:
        raise InputError(
            f"parts named train and test in {name}", ", ".join(parts), "split and name the data"
        )
    samples, label = _columns(name, train.features, layout)
    values = _classes(name, train, label, layout.label_names)
    title, classes = _title(name), layout.label_names or values
    if type(train.features[samples]).__name__ != IMAGE:
        held = [
            _texts(name, part, samples, _labels(name, part, label, values))
            for part in (train, test)
        ]
        return Texts(title, classes, *held)
    inputs, labels = _images(name, train, samples, _labels(name, train, label, values), layout)
    scale = scaling(inputs)
    others = _images(name, test, samples, _labels(name, test, label, values), layout)
    return Dataset(title, classes, Data(inputs, labels, scale), Data(*others, scale))


def _parts(name: str, layout: Layout) -> dict[str, Any]:
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError:
        raise InputError(
            f"the library `datasets`, to read {name}", "none", "pip install 'rootbound[data]'"
        ) from None
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    place, configuration, revision = _source(name)
    try:
        found = datasets.load_dataset(place, configuration, revision=revision, split=_split(layout))
        return dict(found)
    except Exception as error:  # of whatever library reads that format
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"a data set that `datasets` can load at {name}", reason, "check the name or the files"
        ) from None


def _source(name: str) -> tuple[str, str | None, str | None]:
    """Return place, configuration and revision of what is named; a folder is all of its name."""
    if Path(name).is_dir():
        return name, None, None
    whole, _, revision = name.partition("@")
    place, _, configuration = whole.rpartition(":") if ":" in whole else (whole, "", "")
    return place, configuration or None, revision or None


def _title(name: str) -> str:
    """Return what to call a data set in a report."""
    place, configuration, _ = _source(name)
    return Path(place).name if configuration is None else f"{Path(place).name}:{configuration}"


def _split(layout: Layout) -> dict[str, str] | None:
    if layout.train_split is None or layout.test_split is None:
        return None
    return {"train": layout.train_split, "test": layout.test_split}


def _columns(name: str, features: Any, layout: Layout) -> tuple[str, str]:
    """Return the names of the columns that hold samples and classes."""
    kinds = {column: _kind(of) for column, of in features.items()}
    label = layout.label or _only(name, kinds, CLASSES, "--label-column")
    wanted = IMAGE if IMAGE in kinds.values() else "string"
    others = {column: kind for column, kind in kinds.items() if column != label}
    samples = layout.inputs or _only(name, others, wanted, "--input-column")
    for column, kind, right in (
        (samples, kinds.get(samples), (IMAGE, "string", "large_string")),
        (label, kinds.get(label), (CLASSES, "string", "large_string", *WHOLE)),
    ):
        if kind not in right:
            raise InputError(
                f"{column!r} in {name} to be of type {' or '.join(right[:2])}",
                kind or f"no such column among {', '.join(kinds)}",
                "name another column, or cast it with `datasets`",
            )
    return samples, label


def _kind(feature: Any) -> str:
    name = type(feature).__name__
    return str(feature.dtype) if name == "Value" else name


def _only(name: str, kinds: dict[str, str], wanted: str, option: str) -> str:
    found = [column for column, kind in kinds.items() if kind.removeprefix("large_") == wanted]
    if len(found) != 1:
        raise InputError(
            f"one column of type {wanted} in {name}",
            ", ".join(f"{column}: {kind}" for column, kind in kinds.items()),
            f"name it by {option}",
        )
    return found[0]


def _classes(name: str, train: Any, column: str, names: tuple[str, ...]) -> tuple[str, ...]:
    feature = train.features[column]
    if names:
        if _kind(feature) not in WHOLE:
            raise InputError(
                f"whole numbers in column {column!r} of {name}, to be named",
                _kind(feature),
                "leave out --label-names",
            )
        return tuple(map(str, range(len(names))))
    if type(feature).__name__ == CLASSES:
        return tuple(feature.names)
    found = train.unique(column)
    if None in found:
        raise InputError(f"a class in every row of {name}", "none in some", "remove those rows")
    return tuple(str(value) for value in sorted(found))


def _labels(name: str, part: Any, column: str, classes: tuple[str, ...]) -> Tensor:
    values = Column(part, column)
    if type(part.features[column]).__name__ == CLASSES:
        # None is said by none at all, or by -1.
        if any(value is None or value < 0 for value in values):
            raise InputError(f"a class in every row of {name}", "none in some", "remove those rows")
        return torch.tensor(list(values), dtype=torch.int64)
    numbers = {value: number for number, value in enumerate(classes)}
    try:
        return torch.tensor([numbers[str(value)] for value in values], dtype=torch.int64)
    except KeyError as error:
        raise InputError(
            f"classes of the training part in all of {name}", str(error), "remove those rows"
        ) from None


def _images(
    name: str, part: Any, column: str, labels: Tensor, layout: Layout
) -> tuple[Tensor, Tensor]:
    inputs, kept = stacked(
        len(part),
        lambda index: part[index][column],
        lambda index: f"row {index} of {name}",
        f"{part._fingerprint} {column}",
        layout,
    )
    return inputs, labels[kept]


def _texts(name: str, part: Any, column: str, labels: Tensor) -> Labelled:
    texts = Column(part, column)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"a text in row {row} of {name}", str(text), "remove that row")
    return Labelled(texts, labels)
