"""The spec of a run: everything that decides its result, as plain values, and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rootbound.core.errors import InputError
from rootbound.core.files import write_once
from rootbound.records.configuration import Configuration, from_values, to_values

FORMAT = 2
"""Version of the JSON layout; it increases when a reader of the old one would fail."""
WITH_TEXTS = 1
"""The version in which each arm had its method as text."""
NAME = "spec.json"
"""Name of its file in the folder of the run."""
ABSENT = "absent"
"""Shown for a value that a spec does not have."""
NUMBERS = ("seeds", "suite.attackers", "suite.until.draws")
"""Values that may be higher in a larger run; the results of the smaller one stay valid."""
LISTS = ("arms.", "code.", "suite.until.")
"""Tables that may have more entries in a larger run; the last one adds draws of labels."""
WORDS = ("suite.name",)
"""Values that only describe others, and may be different."""


@dataclass(frozen=True)
class Spec:
    """A frozen description of a run: equal specs lead to equal records.

    Args:
        content: Everything that decides the records: configurations, and values for JSON.
        command: Arguments of `rootbound` that began the run; empty if a program began it.
        directory: The working directory, to which paths in the command are relative.
    """

    content: Mapping[str, Any]
    command: tuple[str, ...] = ()
    directory: str = ""

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with everything that decides the result."""
        # A configuration counts by its text, as in older versions, which had only the text.
        text = json.dumps(self.content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def save(self, folder: Path) -> bool:
        """Write `spec.json` if there is none; return whether this call wrote it.

        Raises:
            InputError: The folder cannot be written.
        """
        text = {
            "format": FORMAT,
            "run": self.digest,
            "command": list(self.command),
            "directory": self.directory,
            "spec": self.content,
        }
        content = json.dumps(text, indent=1, ensure_ascii=False, default=to_values)
        return write_once(folder / NAME, content + "\n")

    @classmethod
    def load(cls, folder: Path) -> Spec:
        """Read `spec.json` from the folder of a run.

        Raises:
            InputError: It is missing, damaged, or of another format.
        """
        path = folder / NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["format"] not in (WITH_TEXTS, FORMAT):
                raise ValueError(f"format {values['format']}")
            command, content, directory = values["command"], values["spec"], values["directory"]
            words = isinstance(command, list) and all(isinstance(word, str) for word in command)
            if not (words and isinstance(content, dict) and isinstance(directory, str)):
                raise TypeError("a spec, a command of words and a directory are wanted")
            if "arms" in content:
                content["arms"] = {name: _read_arm(arm) for name, arm in content["arms"].items()}
            return cls(content, tuple(command), directory)
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"the spec of a run at {path}", "no such file", "check it") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"the spec of a run in {path}",
                f"{type(error).__name__}: {error}",
                "run it again into another folder",
            ) from None

    def differs_from(self, other: Spec) -> Iterator[tuple[str, str, str]]:
        """Yield the name of each value that differs, and the value in each spec."""
        own, others = _flatten(self.content), _flatten(other.content)
        for name in sorted(own.keys() | others.keys()):
            pair = own.get(name, ABSENT), others.get(name, ABSENT)
            if pair[0] != pair[1]:
                yield name, *pair

    def obstacle_to(self, larger: Spec) -> tuple[str, str, str] | None:
        """Return why a run of this spec is not a part of a run of a larger one; None if it is.

        Every model is attacked by itself, so more seeds, attackers and arms do not change the
        records of a smaller run; any other change does.

        Returns:
            The name of the value that prevents it, and the value in both specs.
        """
        for name, own, other in self.differs_from(larger):
            more = name in NUMBERS and own.isdigit() and other.isdigit() and int(own) < int(other)
            added = name.startswith(LISTS) and own == ABSENT
            if not (more or added or name in WORDS):
                return name, own, other
        return None


def has_spec(folder: Path) -> bool:
    """Return whether there is a spec in a folder, damaged or not."""
    return (folder / NAME).exists()


def _read_arm(arm: Mapping[str, Any]) -> dict[str, Any]:
    """Return an arm with its method as a configuration; files of format 1 have it as text."""
    method = arm["method"]
    if isinstance(method, str):
        method = Configuration.parse(method) if "(" in method else method
    return {**arm, "method": from_values(method)}


def _flatten(content: object, name: str = "") -> dict[str, str]:
    """Return the values of nested tables and lists as text, by their dotted paths."""
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        return {name: str(content)}
    return {
        path: text
        for key, entry in content.items()
        for path, text in _flatten(entry, f"{name}.{key}" if name else str(key)).items()
    }
