"""Images or texts that the library `datasets` reads: local files, or a data set on the hub."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from rootbound.core.errors import InputError, take_first_line
from rootbound.datasets.dataset import DEFAULT_LAYOUT, Dataset, Layout
from rootbound.datasets.holdout import hold_out, refuse_holdout
from rootbound.datasets.image_columns import find_kind, find_tables, holds_paths, make_opener
from rootbound.datasets.image_folder import TESTS, TRAIN
from rootbound.datasets.images import ImageFiles, build_from_images
from rootbound.datasets.table_columns import CLASSES, STRING, WHOLE, find_columns
from rootbound.datasets.text_files import check_encoding, describe_missing
from rootbound.datasets.texts import Labelled, Texts, describe_empty

log = logging.getLogger(__name__)
AT_ONCE = 1024
"""Number of rows of a column that are read at a time."""


class Column(Sequence[Any]):
    """Values of a column, read from the library's file when they are needed.

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
    """Load images or texts with their class: from parquet, CSV or JSON files, folders, or the hub.

    A column of images may have the library's own form, bytes, or Spark's form; a column of strings
    has paths of image files, or texts. Pixels are read as in folders of images. If there is no test
    part, a share of each class is held out. Nothing in the data set is executed.

    Args:
        name: A folder, a table, or the name of a data set on the hub, such as `uoft-cs/cifar10`;
            `NAME:CONFIGURATION@REVISION` selects a configuration, and a commit, tag or branch.
        layout: Names of parts and classes, and of columns that are not found by their type.

    Raises:
        InputError: The library is not installed, there is no such data set, it lacks a column
            or a part, a label is not a class, or an image cannot be read or has another size.
    """
    source, configuration, revision = _parse_name(name)
    parts = _load_parts(name, source, configuration, revision, layout)
    title = Path(source).name if configuration is None else f"{Path(source).name}:{configuration}"
    folder = Path(source) if Path(source).is_dir() else Path(source).parent
    return read_parts(name, title, parts, folder, layout)


def read_parts(
    name: str, title: str, by_name: Mapping[str, Any], folder: Path, layout: Layout
) -> Dataset | Texts:
    """Read tables of the library `datasets`, as `hugging_face` does.

    Args:
        name: Name of the tables in errors.
        title: The name in reports.
        by_name: The tables, by the names of their parts.
        folder: Folder to which paths of image files are relative.
        layout: Names of columns, and of classes.

    Raises:
        InputError: A column or a part is missing, a label is not a class, or an image cannot be
            read or has another size.
    """
    train = by_name.get(TRAIN, next(iter(by_name.values())) if len(by_name) == 1 else None)
    test_name = next((part for part in TESTS if part in by_name), None)
    if train is None:
        raise InputError(
            f"a part named {TRAIN} in {name}",
            ", ".join(by_name),
            "name the parts with `train_split` and `test_split`",
        )
    column, label_column = find_columns(name, train.features, layout)
    classes = _find_classes(name, train, label_column, layout.label_names)
    names = layout.label_names or classes
    labels = _read_labels(name, train, label_column, classes, layout)
    remarks: list[str] = []
    if test_name is None:
        rows, held, remark = hold_out(labels, names, layout)
        remarks.append(remark)
        parts = [(train.select(chosen), labels[chosen]) for chosen in (rows, held)]
    else:
        refuse_holdout(layout, test_name)
        test = by_name[test_name]
        parts = [(train, labels), (test, _read_labels(name, test, label_column, classes, layout))]
        unused = [part for part in by_name if part not in (TRAIN, test_name)]
        remarks += [f"the part {part} not used" for part in unused]
    for remark in remarks:
        log.warning("%s: %s", name, remark)
    if find_kind(train.features[column]) == STRING and not holds_paths(train[0][column]):
        train_texts, test_texts = (
            Labelled(_read_texts(name, part, column), labels) for part, labels in parts
        )
        remarks += filter(None, [describe_empty((train_texts, test_texts))])
        return Texts(title, names, train_texts, test_texts, "; ".join(remarks))
    first, second = (_as_files(name, part, column, labels, folder) for part, labels in parts)
    return build_from_images(title, names, (first, second), layout, remarks)


def _parse_name(name: str) -> tuple[str, str | None, str | None]:
    """Split a name into source, configuration and revision; a path is only a source."""
    if Path(name).exists():
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
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # errors are reported in one line
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    split = None
    if layout.train_split is not None:
        split = {TRAIN: layout.train_split, "test": layout.test_split}
    check_encoding(Path(source))
    missing = describe_missing(Path(source))
    reader, files = find_tables(Path(source)) or (source, None)
    try:
        return dict(
            datasets.load_dataset(
                reader, configuration, data_files=files, revision=revision, split=split, **missing
            )
        )
    except Exception as error:  # the library that reads the format may raise anything
        raise InputError(
            f"a data set that `datasets` can load at {name}",
            take_first_line(_find_cause(error)),
            "check the name or the files",
        ) from None


def _find_cause(error: BaseException) -> BaseException:
    """Return the cause of an error, because the library's own message says nothing about it."""
    while error.__cause__ is not None and str(error.__cause__).strip():
        error = error.__cause__
    return error


def _find_classes(name: str, train: Any, column: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the column's classes, before `names` replace them."""
    feature = train.features[column]
    if names:
        if find_kind(feature) not in WHOLE:
            raise InputError(
                f"whole numbers in column {column!r} of {name}, to be named",
                find_kind(feature),
                "leave out `label_names`",
            )
        return tuple(map(str, range(len(names))))
    if type(feature).__name__ == CLASSES:
        return tuple(feature.names)
    values = train.unique(column)
    if None in values or "" in values:
        row = next(row for row, value in enumerate(Column(train, column)) if value in (None, ""))
        raise InputError(
            f"a class in every row of {name}", f"none in row {row} of {TRAIN}", "remove such rows"
        )
    return tuple(str(value) for value in sorted(values))


def _read_labels(
    name: str, part: Any, column: str, classes: tuple[str, ...], layout: Layout
) -> Tensor:
    values = Column(part, column)
    if type(part.features[column]).__name__ == CLASSES:
        # A row without a class has None, or -1.
        if any(value is None or value < 0 for value in values):
            raise InputError(f"a class in every row of {name}", "none in some", "remove those rows")
        return torch.tensor(list(values), dtype=torch.int64)
    numbers = {value: number for number, value in enumerate(classes)}
    if layout.label_names:  # they name false and true, too
        numbers |= zip(("False", "True"), range(len(classes)), strict=False)
    try:
        return torch.tensor([numbers[str(value)] for value in values], dtype=torch.int64)
    except KeyError as error:
        if layout.label_names:
            expected, fix = f"numbers below {len(classes)}, which `label_names` name,", "name all"
        else:
            expected, fix = "classes of the training part", "remove those rows"
        raise InputError(f"{expected} in all of {name}", str(error), fix) from None


def _as_files(name: str, part: Any, column: str, labels: Tensor, folder: Path) -> ImageFiles:
    """Return images with their classes, for reading one by one."""
    return ImageFiles(
        labels,
        make_opener(part, column, folder),
        lambda row: f"row {_find_row(part, row)} of {name}",
        f"{part._fingerprint} {column}",
    )


def _find_row(part: Any, row: int) -> int:
    """Return the row in the file; a held-out part numbers its rows anew."""
    known = part._indices
    return row if known is None else int(known.column(0)[row].as_py())


def _read_texts(name: str, part: Any, column: str) -> Column:
    texts = Column(part, column)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            where = f"row {_find_row(part, row)} of {part.split or 'the data'} in {name}"
            raise InputError(f"a text in {where}", str(text), "remove that row")
    return texts
