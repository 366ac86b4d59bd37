"""What the library `datasets` can read, images or texts: local files, or a data set on the hub."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from rootbound.core.errors import InputError, first_line
from rootbound.datasets.dataset import DEFAULT_LAYOUT, Dataset, Layout, Samples, build_dataset
from rootbound.datasets.image_folder import TESTS
from rootbound.datasets.images import stack_images
from rootbound.datasets.texts import Labelled, Texts

IMAGE, CLASSES = "Image", "ClassLabel"
"""Types of columns."""
STRINGS = ("string", "large_string")
WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
AT_ONCE = 1024
"""Rows of a column that are read at a time."""


class Column(Sequence[Any]):
    """Values of a column, read from the library's file when they are asked for.

    Args:
        table: A table of `datasets`.
        name: The name of the column.
    """

    def __init__(self, table: Any, name: str) -> None:
        self.table, self.name = table.select_columns(name), name

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, rows: int) -> Any: ...

    @overload
    def __getitem__(self, rows: slice) -> list[Any]: ...

    def __getitem__(self, rows: int | slice) -> Any:
        return self.table[rows][self.name]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), AT_ONCE):
            yield from self[start : start + AT_ONCE]


def hugging_face(name: str, layout: Layout = DEFAULT_LAYOUT) -> Dataset | Texts:
    """Load images or texts with their class: parquet, CSV or JSON files, folders, or the hub's.

    A column of type Image holds images, otherwise one of strings holds texts. Pixels become
    bytes, grey or RGB, and are scaled by the mean and the deviation of the training images.
    Nothing in the data set is executed.

    Args:
        name: A folder, or the name of a data set on the hub, such as `uoft-cs/cifar10`; with
            `NAME:CONFIGURATION@REVISION` one of its configurations, as of a commit, tag or branch.
        layout: Names of columns, where they are not found by their type, of parts and classes.

    Raises:
        InputError: The library is not installed, there is no such data set, it lacks a column
            or a part, a label is no class, or an image cannot be read or has another size.
    """
    source, configuration, revision = _parse_name(name)
    by_name = _load_parts(name, source, configuration, revision, layout)
    train = by_name.get("train")
    test = next((by_name[part] for part in TESTS if part in by_name), None)
    if train is None or test is None:
        raise InputError(
            f"parts named train and test in {name}", ", ".join(by_name), "split and name the data"
        )
    column, label_column = _find_columns(name, train.features, layout)
    classes = _find_classes(name, train, label_column, layout.label_names)
    parts = [(part, _read_labels(name, part, label_column, classes)) for part in (train, test)]
    title = Path(source).name if configuration is None else f"{Path(source).name}:{configuration}"
    names = layout.label_names or classes
    if type(train.features[column]).__name__ != IMAGE:
        texts = (Labelled(_read_texts(name, part, column), labels) for part, labels in parts)
        return Texts(title, names, *texts)
    images = (_read_images(name, part, column, labels, layout) for part, labels in parts)
    return build_dataset(title, names, *images)


def _parse_name(name: str) -> tuple[str, str | None, str | None]:
    """Return source, configuration and revision; the name of a folder is a source as it is."""
    if Path(name).is_dir():
        return name, None, None
    whole, _, revision = name.partition("@")
    source, _, configuration = whole.rpartition(":") if ":" in whole else (whole, "", "")
    return source, configuration or None, revision or None


def _load_parts(
    name: str, source: str, configuration: str | None, revision: str | None, layout: Layout
) -> dict[str, Any]:
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError:
        raise InputError(
            f"the library `datasets`, to read {name}", "none", "pip install 'rootbound[data]'"
        ) from None
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    split = None
    if layout.train_split is not None:
        split = {"train": layout.train_split, "test": layout.test_split}
    try:
        return dict(datasets.load_dataset(source, configuration, revision=revision, split=split))
    except Exception as error:  # of whatever library reads that format
        raise InputError(
            f"a data set that `datasets` can load at {name}",
            first_line(error),
            "check the name or the files",
        ) from None


def _find_columns(name: str, features: Any, layout: Layout) -> tuple[str, str]:
    """Return the names of the columns that hold samples and classes."""
    kinds = {column: _kind(feature) for column, feature in features.items()}
    label = layout.label or _find_column(name, kinds, CLASSES, "--label-column")
    wanted = IMAGE if IMAGE in kinds.values() else "string"
    rest = {column: kind for column, kind in kinds.items() if column != label}
    samples = layout.inputs or _find_column(name, rest, wanted, "--input-column")
    for column, kind, allowed in (
        (samples, kinds.get(samples), (IMAGE, *STRINGS)),
        (label, kinds.get(label), (CLASSES, *STRINGS, *WHOLE)),
    ):
        if kind not in allowed:
            raise InputError(
                f"{column!r} in {name} to be of type {' or '.join(allowed[:2])}",
                kind or f"no such column among {', '.join(kinds)}",
                "name another column, or cast it with `datasets`",
            )
    return samples, label


def _kind(feature: Any) -> str:
    name = type(feature).__name__
    return str(feature.dtype) if name == "Value" else name


def _find_column(name: str, kinds: dict[str, str], wanted: str, option: str) -> str:
    """Return the only column of a type."""
    columns = [column for column, kind in kinds.items() if kind.removeprefix("large_") == wanted]
    if len(columns) != 1:
        raise InputError(
            f"one column of type {wanted} in {name}",
            ", ".join(f"{column}: {kind}" for column, kind in kinds.items()),
            f"name it by {option}",
        )
    return columns[0]


def _find_classes(name: str, train: Any, column: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes as the column has them, before `names` replace them."""
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
    values = train.unique(column)
    if None in values:
        raise InputError(f"a class in every row of {name}", "none in some", "remove those rows")
    return tuple(str(value) for value in sorted(values))


def _read_labels(name: str, part: Any, column: str, classes: tuple[str, ...]) -> Tensor:
    values = Column(part, column)
    if type(part.features[column]).__name__ == CLASSES:
        # A row without a class has None, or -1.
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


def _read_images(name: str, part: Any, column: str, labels: Tensor, layout: Layout) -> Samples:
    """Return the images that can be read, with their labels."""
    images, rows = stack_images(
        len(part),
        lambda row: part[row][column],
        lambda row: f"row {row} of {name}",
        f"{part._fingerprint} {column}",
        layout,
    )
    return images, labels[rows]


def _read_texts(name: str, part: Any, column: str) -> Column:
    texts = Column(part, column)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"a text in row {row} of {name}", str(text), "remove that row")
    return texts
