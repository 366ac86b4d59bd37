"""Which columns of a table of the library `datasets` hold samples and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rootbound.core.errors import InputError
from rootbound.datasets.dataset import Layout
from rootbound.datasets.image_columns import IMAGES, find_kind

CLASSES, STRING = "ClassLabel", "string"
"""Types of columns."""
WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")


def find_columns(name: str, features: Any, layout: Layout) -> tuple[str, str]:
    """Return the names of the columns with samples and classes.

    Raises:
        InputError: They cannot be found by their types, or a named one has another type.
    """
    kinds = {column: find_kind(feature) for column, feature in features.items()}
    label = layout.label or _find_only(kinds, (CLASSES,))
    rest = {column: kind for column, kind in kinds.items() if column != label}
    of_images = any(kind in IMAGES for kind in rest.values())
    samples = layout.inputs or _find_only(rest, IMAGES if of_images else (STRING,))
    if samples is None or label is None:
        inputs = "" if samples else f"one column of {'images' if of_images else STRING + 's'}"
        labels = "" if label else f"one column of type {CLASSES}"
        options = [
            option
            for option, column in (("`inputs`", samples), ("`label`", label))
            if column is None
        ]
        raise InputError(
            f"{' and '.join(filter(None, (inputs, labels)))} in {name}",
            ", ".join(f"{column}: {kind}" for column, kind in kinds.items()),
            _advise(kinds, rest)
            or f"name {'them' if len(options) == 2 else 'it'} by {' and '.join(options)}",
        )
    for column, allowed in ((samples, (*IMAGES, STRING)), (label, (CLASSES, STRING, *WHOLE))):
        if kinds.get(column) not in allowed:
            raise InputError(
                f"{column!r} in {name} to be of type {' or '.join((allowed[0], STRING))}",
                kinds.get(column) or f"no such column among {', '.join(kinds)}",
                "name another column, or cast it with `datasets`",
            )
    if samples == label:
        raise InputError(
            f"two columns of {name}, one of samples and one of classes",
            f"{label!r} for both",
            "name another with `inputs` or `label`",
        )
    return samples, label


def _advise(kinds: dict[str, str], rest: dict[str, str]) -> str:
    """Return what to do where no column has what is wanted; empty where it only needs naming."""
    if len(kinds) == 1:
        return "add a column of classes; or put the files of each class in a folder of its name"
    if not any(kind in (*IMAGES, STRING) for kind in rest.values()):
        return "save numbers as arrays in FILE.npz, or load them as a pair (inputs, labels)"
    return ""


def _find_only(kinds: dict[str, str], wanted: Sequence[str]) -> str | None:
    """Return the only column of one of these types; None if there are none or several."""
    columns = [column for column, kind in kinds.items() if kind in wanted]
    return columns[0] if len(columns) == 1 else None
