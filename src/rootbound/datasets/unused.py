"""Refusing settings of a layout that the data have no use for."""

from __future__ import annotations

from collections.abc import Collection

from rootbound.core.errors import InputError
from rootbound.datasets.dataset import Layout

OF_ROWS = ("inputs", "label", "label_names", "holdout")
"""Settings for the rows of a table."""
OF_TABLES = (*OF_ROWS, "train_split", "test_split")
"""Settings for files of tables."""
STATED = (*OF_TABLES, "axes")
"""Settings that matter only for some kinds of data."""


def list_stated(layout: Layout) -> list[str]:
    """Return the settings that the user gave and that data may have no use for."""
    stated = (name for name in STATED if getattr(layout, name) not in (None, ()))
    return [name for name in stated if name not in layout.optional]


def refuse_unused(layout: Layout, source: str, used: Collection[str]) -> None:
    """Raise an `InputError` where the user gave a setting that the data have no use for.

    Args:
        layout: The user's settings.
        source: Name of the kind of data.
        used: The settings that this kind of data uses.
    """
    for name in list_stated(layout):
        if name not in used:
            value = getattr(layout, name)
            got = ",".join(value) if isinstance(value, tuple) else str(value)
            raise InputError(
                f"no `{name}` with {source}",
                got,
                f"leave `{name}` out: such data are read without it",
            )
