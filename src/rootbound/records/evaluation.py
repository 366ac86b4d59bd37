"""Everything that a run has measured, and the file that holds it.

Nothing here imports torch: reports are made from records alone, on any machine.
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

from rootbound.core.errors import InputError, first_line
from rootbound.core.files import encode, write_atomically
from rootbound.records.configuration import Configuration, from_values, to_values
from rootbound.records.frame import to_frame
from rootbound.records.record import Diagnosis, Entry, Record, Training, build, check, rounded

if TYPE_CHECKING:
    import pandas as pd

Value = TypeVar("Value", bound=Hashable)
FORMAT = 3
"""Version of the JSON layout; raised when a reader of the old one would go wrong."""
WITH_TEXTS = 2
"""The version in which each record held its attack, and each training its method, as text."""
RECORDS, PLAIN_RECORDS = "records.json.gz", "records.json"
"""A complete run: as it is written, and as versions before wrote it."""
LATER = ("balanced", "desirable_balanced", "desirable_errors", "halves")
"""Fields that older records do not have, and that are left out where they say nothing."""
PARTS, BEGUN = "records", "run.json"
"""The folder of what has come so far, a file of the same layout for each piece of work; and in it
the file that is written first, with the context."""
MALFORMED = (
    OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError
)  # fmt: skip
"""What reading a damaged file raises."""


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Everything one comparison measured; reports are pure functions of it.

    Args:
        context: Tasks, threat model, settings, versions and machine, as text and numbers.
        trainings: The models.
        records: The trials.
        complete: False while a run goes on or after it was stopped.
        diagnoses: What was measured of the models themselves.
    """

    context: Mapping[str, Any]
    trainings: tuple[Training, ...]
    records: tuple[Record, ...]
    complete: bool = True
    diagnoses: tuple[Diagnosis, ...] = ()
    view: ClassVar[Callable[[Evaluation], str] | None] = None
    """What shows an evaluation in HTML. Records do not know reports: the package sets it."""

    def __repr__(self) -> str:
        """Return in a line what was measured; the records themselves are for `to_frame`."""
        names = list(dict.fromkeys(training.method for training in self.trainings))
        state = "complete" if self.complete else "unfinished"
        return (
            f"<Evaluation by {self.context.get('suite', 'an unknown suite')}: "
            f"{', '.join(names) or 'no models'}; {len(self.records):,} trials, {state}>"
        )

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows."""
        view = type(self).view
        return None if view is None else view(self)

    def to_json(self) -> str:
        """Return JSON, the same text for the same values; each attack and method stands once."""
        methods = _numbered(training.settings for training in self.trainings)
        attacks = _numbered(record.attack for record in self.records)
        content = {
            "format": FORMAT,
            "complete": self.complete,
            "context": rounded(self.context),
            "methods": [to_values(method) for method in methods],
            "attacks": [to_values(attack) for attack in attacks],
            "trainings": [
                rounded(_values(training) | {"settings": methods[training.settings]})
                for training in self.trainings
            ],
            "diagnoses": [rounded(vars(diagnosis)) for diagnosis in self.diagnoses],
            "records": [
                rounded(_values(record) | {"attack": attacks[record.attack]})
                for record in self.records
            ],
        }
        return _one_entry_a_line(content)

    def to_frame(self) -> pd.DataFrame:
        """Return a table of pandas with a row for each record, "all" where all labels were given.

        Its columns are in `docs/howto/records.md`.

        Raises:
            InputError: pandas is not installed.
        """
        return to_frame(self.records)

    def save(self, folder: Path | str) -> None:
        """Write `records.json.gz` into a folder, whole or not at all; the same bytes each time."""
        compressed = io.BytesIO()
        with gzip.GzipFile("", "wb", fileobj=compressed, mtime=0) as file:
            file.write(encode(self.to_json()))
        write_atomically(Path(folder) / RECORDS, compressed.getvalue())
        if (plain := Path(folder) / PLAIN_RECORDS).is_file():
            plain.unlink()

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read the records in a folder; of a run that is not complete, those that there are.

        Raises:
            InputError: They are missing, damaged, or of another format.
        """
        folder = Path(folder)
        path = records_file(folder)
        if not path.exists() and (folder / PARTS / BEGUN).is_file():
            return cls._gathered(folder / PARTS)
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
                return cls._from_values(_with_tables(values) if version == WITH_TEXTS else values)
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"records at {path}", "no such file", "check the folder") from None
        except MALFORMED as error:
            raise _damaged(path, error) from None
        raise InputError(
            f"records of format {FORMAT} or {WITH_TEXTS} in {path}",
            f"format {version}",
            "use the version of rootbound that wrote them",
        )

    @classmethod
    def _from_values(cls, values: Mapping[str, Any]) -> Self:
        if not isinstance(values["context"], dict):
            raise TypeError("the context is not a table")
        methods = _rows(values["methods"], Configuration | str)
        attacks = _rows(values["attacks"], Configuration)
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
    def _gathered(cls, folder: Path) -> Self:
        """Put the parts of a run together; each says where its entries belong."""
        parts = [cls.read(path) for path in sorted(folder.glob("*.json")) if path.name != BEGUN]
        try:
            return replace(
                cls.read(folder / BEGUN),
                trainings=_in_order((part, part.trainings) for part in parts),
                diagnoses=_in_order((part, part.diagnoses) for part in parts),
                records=_in_order((part, part.records) for part in parts),
            )
        except MALFORMED as error:
            raise _damaged(folder, error) from None


def records_file(folder: Path) -> Path:
    """Return the file with the records of a complete run; it need not exist."""
    plain = folder / PLAIN_RECORDS
    compressed = folder / RECORDS
    return plain if plain.exists() and not compressed.exists() else compressed


def _values(entry: Entry) -> dict[str, Any]:
    """Return the values of an entry; what older records do not have is left out where not known.

    So a file that an older version wrote stays the same when it is written anew.
    """
    return {
        name: value
        for name, value in vars(entry).items()
        if name not in LATER or value != getattr(type(entry), name)
    }


def _numbered(values: Iterable[Value]) -> dict[Value, int]:
    """Return the row of each value in a table in which it stands once."""
    return {value: row for row, value in enumerate(dict.fromkeys(values))}


def _rows(values: Iterable[Any], kind: type | UnionType) -> dict[int, Any]:
    """Return the entries of a table by their rows; a dictionary, which has no negative rows."""
    rows = {row: from_values(entry) for row, entry in enumerate(values)}
    for entry in rows.values():
        if not isinstance(entry, kind):
            raise TypeError(f"{str(entry)[:80]!r} is no class with settings")
    return rows


def _with_tables(values: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a file of format 2 as format 3 has it: texts become rows of tables."""
    methods = _numbered(training["settings"] for training in values["trainings"])
    attacks = _numbered(record["attack"] for record in values["records"])
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


def _in_order(parts: Iterable[tuple[Evaluation, Sequence[Entry]]]) -> tuple[Entry, ...]:
    """Return the entries of parts in the order of the places that each part's context gives."""
    placed = [
        (place, entry)
        for part, entries in parts
        for place, entry in zip(part.context["places"], entries, strict=bool(entries))
    ]
    return tuple(entry for _, entry in sorted(placed, key=lambda pair: pair[0]))


def _damaged(path: Path, error: Exception) -> InputError:
    reason = f"{type(error).__name__}: {first_line(error)}"
    return InputError(f"records in {path}", reason, "run it again")


def _one_entry_a_line(content: Mapping[str, Any]) -> str:
    """Write a dictionary of values and lists so that each list entry has its own line."""
    parts = []
    for key, value in content.items():
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in value)
            parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
