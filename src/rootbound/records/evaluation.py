"""Everything that a run has measured, and the file that contains it.

Nothing here imports torch, so that reports can be made from records on any machine.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from rootbound.core.errors import InputError, take_first_line
from rootbound.core.files import encode, write_atomically
from rootbound.records.configuration import Configuration, from_values, to_values
from rootbound.records.frame import to_frame
from rootbound.records.record import Diagnosis, Entry, Record, Training, build, check, round_floats

if TYPE_CHECKING:
    import pandas as pd

Value = TypeVar("Value", bound=Hashable)
FORMAT = 3
"""Version of the JSON layout; it increases when a reader of the old one would fail."""
WITH_TEXTS = 2
"""The version in which each record had its attack, and each training its method, as text."""
RECORDS, PLAIN_RECORDS = "records.json.gz", "records.json"
"""File names of a complete run: the present one, and that of older versions."""
LATER = ("balanced", "desirable_balanced", "desirable_errors", "halves")
"""Fields that older records do not have, and that are left out if they are empty."""
PARTS, BEGUN = "records", "run.json"
"""The folder with a file of the same layout for each finished job; and the file in it that is
written first, with the context."""
MALFORMED = (
    OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError
)  # fmt: skip
"""Errors that reading a damaged file may raise."""


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Everything one comparison measured; reports are pure functions of it.

    Args:
        context: Tasks, threat model, settings, versions and machine, as text and numbers.
        trainings: The models.
        records: The trials.
        complete: False while a run goes on or after it was stopped.
        diagnoses: Measurements of the models themselves.
    """

    context: Mapping[str, Any]
    trainings: tuple[Training, ...]
    records: tuple[Record, ...]
    complete: bool = True
    diagnoses: tuple[Diagnosis, ...] = ()
    view: ClassVar[Callable[[Evaluation], str] | None] = None
    """The function that shows an evaluation in HTML; the package sets it to one of `report`."""

    def __repr__(self) -> str:
        """Return one line that says what was measured; `to_frame` has the records themselves."""
        names = list(dict.fromkeys(training.method for training in self.trainings))
        state = "complete" if self.complete else "unfinished"
        return (
            f"<Evaluation by {self.context.get('suite', 'an unknown suite')}: "
            f"{', '.join(names) or 'no models'}; {len(self.records):,} trials, {state}>"
        )

    def _repr_html_(self) -> str | None:
        """Return the HTML that a notebook shows."""
        view = type(self).view
        return None if view is None else view(self)

    def to_json(self) -> str:
        """Return JSON, the same text for the same values; each attack and method occurs once."""
        methods = _number(training.settings for training in self.trainings)
        attacks = _number(record.attack for record in self.records)
        content = {
            "format": FORMAT,
            "complete": self.complete,
            "context": round_floats(self.context),
            "methods": [to_values(method) for method in methods],
            "attacks": [to_values(attack) for attack in attacks],
            "trainings": [
                round_floats(_get_values(training) | {"settings": methods[training.settings]})
                for training in self.trainings
            ],
            "diagnoses": [round_floats(vars(diagnosis)) for diagnosis in self.diagnoses],
            "records": [
                round_floats(_get_values(record) | {"attack": attacks[record.attack]})
                for record in self.records
            ],
        }
        return _write_entries_in_lines(content)

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table with a row for each record; labels are "all" if all were given.

        Its columns are in `docs/howto/records.md`.

        Raises:
            InputError: pandas is not installed.
        """
        return to_frame(self.records)

    def save(self, folder: Path | str) -> None:
        """Write `records.json.gz` into a folder atomically; equal records give equal bytes."""
        compressed = io.BytesIO()
        with gzip.GzipFile("", "wb", fileobj=compressed, mtime=0) as file:
            file.write(encode(self.to_json()))
        write_atomically(Path(folder) / RECORDS, compressed.getvalue())
        if (plain := Path(folder) / PLAIN_RECORDS).is_file():
            plain.unlink()

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read the records in a folder; a run that is not complete has fewer.

        Raises:
            InputError: They are missing, damaged, or in another format.
        """
        folder = Path(folder)
        path = records_file(folder)
        if not path.exists() and (folder / PARTS / BEGUN).is_file():
            return cls._join_parts(folder / PARTS)
        return cls.read(path)

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read one file of records, compressed or not.

        Raises:
            InputError: It is missing, damaged, or of another format.
        """
        path = Path(path)
        try:
            content = path.read_bytes()
            if content.startswith(b"\x1f\x8b"):
                content = gzip.decompress(content)
            values = json.loads(content.decode())
            if (version := values["format"]) in (WITH_TEXTS, FORMAT):
                return cls._from_values(
                    _convert_to_tables(values) if version == WITH_TEXTS else values
                )
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"records at {path}", "no such file", "check the folder") from None
        except MALFORMED as error:
            raise _damaged_error(path, error) from None
        raise InputError(
            f"records of format {FORMAT} or {WITH_TEXTS} in {path}",
            f"format {version}",
            "use the version of rootbound that wrote them",
        )

    @classmethod
    def _from_values(cls, values: Mapping[str, Any]) -> Self:
        if not isinstance(values["context"], dict):
            raise TypeError("the context is not a table")
        methods = _read_rows(values["methods"], Configuration | str)
        attacks = _read_rows(values["attacks"], Configuration)
        found = cls(
            context=values["context"],
            trainings=tuple(
                build(Training, entry | {"settings": methods[entry["settings"]]})
                for entry in values["trainings"]
            ),
            records=tuple(
                build(Record, entry | {"attack": attacks[entry["attack"]]})
                for entry in values["records"]
            ),
            complete=bool(values["complete"]),
            diagnoses=tuple(build(Diagnosis, entry) for entry in values.get("diagnoses", ())),
        )
        entries: list[Training | Record] = [*found.trainings, *found.records]
        for entry in entries:
            check(entry)
        return found

    @classmethod
    def _join_parts(cls, folder: Path) -> Self:
        """Join the parts of a run; each part says where its entries belong."""
        parts = [cls.read(path) for path in sorted(folder.glob("*.json")) if path.name != BEGUN]
        try:
            return replace(
                cls.read(folder / BEGUN),
                trainings=_sort_by_position((part, part.trainings) for part in parts),
                diagnoses=_sort_by_position((part, part.diagnoses) for part in parts),
                records=_sort_by_position((part, part.records) for part in parts),
            )
        except MALFORMED as error:
            raise _damaged_error(folder, error) from None


def records_file(folder: Path) -> Path:
    """Return the file with the records of a complete run; it need not exist."""
    plain = folder / PLAIN_RECORDS
    compressed = folder / RECORDS
    return plain if plain.exists() and not compressed.exists() else compressed


def _get_values(entry: Entry) -> dict[str, Any]:
    """Return the values of an entry, without fields that older records lack and that are empty.

    So a file of an older version stays the same when it is written again.
    """
    return {
        name: value
        for name, value in vars(entry).items()
        if name not in LATER or value != getattr(type(entry), name)
    }


def _number(values: Iterable[Value]) -> dict[Value, int]:
    """Number distinct values: return the row of each in a table without repetitions."""
    return {value: row for row, value in enumerate(dict.fromkeys(values))}


def _read_rows(values: Iterable[Any], kind: type | UnionType) -> dict[int, Any]:
    """Return the entries of a table by row; a dictionary, because lists accept negative rows."""
    rows = {row: from_values(entry) for row, entry in enumerate(values)}
    for entry in rows.values():
        if not isinstance(entry, kind):
            raise TypeError(f"{str(entry)[:80]!r} is no class with settings")
    return rows


def _convert_to_tables(values: dict[str, Any]) -> dict[str, Any]:
    """Convert the content of a file from format 2 to 3: texts become rows of tables."""
    methods = _number(training["settings"] for training in values["trainings"])
    attacks = _number(record["attack"] for record in values["records"])
    return values | {
        "methods": [
            to_values(Configuration.parse(text)) if "(" in text else text for text in methods
        ],
        "attacks": [to_values(Configuration.parse(text)) for text in attacks],
        "trainings": [
            training | {"settings": methods[training["settings"]]}
            for training in values["trainings"]
        ],
        "records": [record | {"attack": attacks[record["attack"]]} for record in values["records"]],
    }


def _sort_by_position(parts: Iterable[tuple[Evaluation, Sequence[Entry]]]) -> tuple[Entry, ...]:
    """Return the entries of parts, sorted by the positions in each part's context."""
    placed = [
        (place, entry)
        for part, entries in parts
        for place, entry in zip(part.context["places"], entries, strict=bool(entries))
    ]
    return tuple(entry for _, entry in sorted(placed, key=lambda pair: pair[0]))


def _damaged_error(path: Path, error: Exception) -> InputError:
    reason = f"{type(error).__name__}: {take_first_line(error)}"
    return InputError(f"records in {path}", reason, "run it again")


def _write_entries_in_lines(content: Mapping[str, Any]) -> str:
    """Write a dictionary of values and lists so that each list entry has its own line."""
    parts = []
    for key, value in content.items():
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in value)
            parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
