"""Rows of a table, kept in a file as they are made."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


@dataclass(frozen=True)
class KeptRows(Generic[Row]):
    """What a benchmark has found: one that was interrupted goes on, and two may share the file.

    Args:
        path: of the file, one JSON object a line; begun with the first row.
        read: makes a row of what such an object names.
        key: what tells rows apart; of two that it does not, the later counts.
    """

    path: Path
    read: Callable[..., Row]
    key: Callable[[Row], Hashable]

    def rows(self) -> list[Row]:
        """Return all of them in order, without a line that was cut off."""
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        return [self.read(**json.loads(line)) for line in lines if line.endswith("}")]

    def add(self, row: Row) -> None:
        """Keep one more."""
        end = self.path.read_bytes()[-1:] if self.path.is_file() else b""
        with self.path.open("a") as file:
            if end not in (b"", b"\n"):  # of a line that was cut off
                file.write("\n")
            file.write(json.dumps(asdict(row)) + "\n")

    def found(self, key: Hashable, make: Callable[[], Row]) -> Row:
        """Return the row of that key, made now if it is not among them."""
        kept = {self.key(row): row for row in self.rows()}
        if key in kept:
            return kept[key]
        row = make()
        self.add(row)
        return row
