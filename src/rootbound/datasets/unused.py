"""Settings of a layout that data have no use for: whoever states one is told so."""

from __future__ import annotations

from collections.abc import Collection

from rootbound.core.errors import InputError
from rootbound.datasets.dataset import Layout

OF_ROWS = ("inputs", "label", "label_names", "holdout")
"""Settings that say how the rows of a table are read."""
OF_TABLES = (*OF_ROWS, "train_split", "test_split")
"""Settings that say how files of tables are read."""
STATED = (*OF_TABLES, "axes")
"""Settings that say how some kind of data is read, and nothing of other kinds."""


def list_stated(layout: Layout) -> list[str]:
    """Return the settings that were stated, and that data may have no use for."""
    stated = (name for name in STATED if getattr(layout, name) not in (None, ()))
    return [name for name in stated if name not in layout.optional]


def refuse_unused(layout: Layout, source: str, used: Collection[str]) -> None:
    """Raise an `InputError` where a setting was stated that data have no use for.

    Args:
        layout: What was stated.
        source: What the data are called.
        used: The settings that they have a use for.
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
