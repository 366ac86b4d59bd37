"""A column of a table that stays where the library `datasets` keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

AT_ONCE = 1024
"""Rows that are read at a time."""


class Column(Sequence[Any]):
    """Values of a column, read from the library's file when they are asked for.

    Args:
        table: of `datasets`.
        name: of the column.
    """

    def __init__(self, table: Any, name: str) -> None:
        self.table, self.name = table.select_columns(name), name

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, place: int) -> Any: ...

    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...

    def __getitem__(self, place: int | slice) -> Any:
        return self.table[place][self.name]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), AT_ONCE):
            yield from self[start : start + AT_ONCE]
