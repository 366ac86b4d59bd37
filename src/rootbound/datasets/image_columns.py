"""Images in a column of a table: bytes, bytes with a path, raw pixels, or paths."""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rootbound.datasets.image_folder import SUFFIXES, TESTS, TRAIN

IMAGE, BYTES, STRUCT, SPARK = "Image", "binary", "bytes and path", "Spark's image"
"""Kinds of columns that hold images."""
IMAGES = (IMAGE, BYTES, STRUCT, SPARK)
READERS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json"}
"""Reader of `datasets` by the suffix of a table."""
METADATA = "metadata"
"""Name of a table that the library itself joins with images."""
SPARK_FIELDS = {"height", "width", "nChannels", "data"}
"""Fields of an image in Spark (https://spark.apache.org/docs/latest/ml-datasource)."""


def find_kind(feature: Any) -> str:
    """Return the kind of a column: one of IMAGES, the type of a plain value, or another type."""
    if isinstance(feature, Mapping):
        fields = set(feature)
        return SPARK if fields >= SPARK_FIELDS else STRUCT if "bytes" in fields else "struct"
    name = type(feature).__name__
    return str(feature.dtype).removeprefix("large_") if name == "Value" else name


def holds_paths(value: object) -> bool:
    """Return whether a text is the path of an image."""
    return isinstance(value, str) and value.lower().endswith(SUFFIXES) and "\n" not in value


def find_tables(source: Path) -> tuple[str, dict[str, list[str]]] | None:
    """Return the reader of tables in `datasets`, and the files of each part.

    Args:
        source: A table, or a folder.

    Returns:
        None if there are no tables, or no images beside them: then the library finds the reader.
    """
    beside = source.is_dir() and any(path.suffix.lower() in SUFFIXES for path in source.rglob("*"))
    paths = [source] if source.is_file() else sorted(source.rglob("*")) if beside else []
    tables = [path for path in paths if path.suffix.lower() in READERS and path.stem != METADATA]
    if not tables:
        return None
    parts: dict[str, list[str]] = {}
    for path in tables:
        words = re.split(r"[^a-z]+", path.stem.lower())
        part = next((name for name in (TRAIN, *TESTS) if name in words), TRAIN)
        parts.setdefault(part, []).append(str(path))
    return READERS[tables[0].suffix.lower()], parts


def make_opener(
    table: Any, column: str, folder: Path
) -> Callable[[int], AbstractContextManager[Image.Image]]:
    """Return a function that opens the image in a row.

    Args:
        table: A table of `datasets`.
        column: The column.
        folder: Folder to which paths are relative.
    """
    if find_kind(table.features[column]) == IMAGE:
        # Read the original files, because the library would change images silently.
        datasets: Any = importlib.import_module("datasets")
        table = table.cast_column(column, datasets.Image(decode=False))
    table = table.select_columns(column)

    def open_image(row: int) -> Image.Image:
        value = table[row][column]
        if isinstance(value, Mapping) and set(value) >= SPARK_FIELDS:
            return _read_spark(value)
        content = value.get("bytes") if isinstance(value, Mapping) else value
        if isinstance(content, bytes):
            return Image.open(io.BytesIO(content))
        path = value.get("path") if isinstance(value, Mapping) else value
        if not isinstance(path, str):
            raise ValueError("no image")
        return Image.open(folder / path)

    return open_image


def _read_spark(value: Mapping[str, Any]) -> Image.Image:
    """Return an image that Spark wrote as rows of bytes: grey, BGR or BGRA."""
    height, width, channels = value["height"], value["width"], value["nChannels"]
    pixels = np.frombuffer(value["data"], np.uint8).reshape(height, width, channels)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    return Image.fromarray(pixels[:, :, order].squeeze(2) if channels == 1 else pixels[:, :, order])
