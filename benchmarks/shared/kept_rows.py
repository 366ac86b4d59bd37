"""A table whose rows are saved to a file as they are made."""

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
    """The rows that a benchmark has made. An interrupted one continues; two may share the file.

    Args:
        path: The file, one JSON object a line; it is made with the first row.
        read: Makes a row from the fields of such an object.
        key: What tells rows apart. Of two rows with the same key the later one counts.
    """

    path: Path
    read: Callable[..., Row]
    key: Callable[[Row], Hashable]

    def rows(self) -> list[Row]:
        """Return all rows in order, without a last line that was cut off."""
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        return [self.read(**json.loads(line)) for line in lines if line.endswith("}")]

    def add(self, row: Row) -> None:
        """Append one row."""
        end = self.path.read_bytes()[-1:] if self.path.is_file() else b""
        with self.path.open("a") as file:
            if end not in (b"", b"\n"):  # the last line was cut off
                file.write("\n")
            file.write(json.dumps(asdict(row)) + "\n")

    def find_or_make(self, key: Hashable, make: Callable[[], Row]) -> Row:
        """Return the row with this key; make and append it if there is none."""
        by_key = {self.key(row): row for row in self.rows()}
        if key in by_key:
            return by_key[key]
        row = make()
        self.add(row)
        return row
