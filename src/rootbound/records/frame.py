"""Records as a pandas table with a row for each record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rootbound.core.errors import InputError
from rootbound.records.record import Record

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
"""The value for all labels; pandas would drop a missing value from groups."""


def to_frame(records: Sequence[Record]) -> pd.DataFrame:
    """Return a table with a row for each record; its columns are in `docs/howto/records.md`.

    Raises:
        InputError: pandas is not installed.
    """
    pd = import_pandas()
    frame = pd.DataFrame.from_records([_make_row(record) for record in records], columns=COLUMNS)
    numbers = sorted({record.labels for record in records if record.labels is not None})
    order = [*numbers, *([ALL] if any(record.labels is None for record in records) else [])]
    frame["labels"] = pd.Categorical(frame["labels"], categories=order, ordered=True)
    return frame


def import_pandas() -> Any:
    """Import the library pandas.

    Raises:
        InputError: It is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        raise InputError(
            "the library pandas, to make a table",
            "none installed",
            "pip install 'rootbound[frame]'",
        ) from None
    return pd


def _make_row(record: Record) -> dict[str, Any]:
    is_scored = bool(record.steps)
    return vars(record) | {
        "labels": ALL if record.labels is None else record.labels,
        "attack": str(record.attack),
        "attack_class": record.attack.kind,
        "step": record.steps[record.selected] if is_scored else None,
        "certificate": dict(record.certificate),
    }


COLUMNS = (
    "arm", "method", "seed", "attacker", "task", "stage", "rung", "tier", "family", "attack",
    "attack_class", "labels", "accuracy", "balanced", "halves", "step", "validation_loss",
    "seconds", "flops", "error", "steps", "validation", "test", "losses", "certificate",
)  # fmt: skip
"""The columns, in their order."""
