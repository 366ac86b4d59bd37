"""Lists of classes, as users and reports write them: always by name.

A number in a list is a name, and a range means the classes with these numbers as names. The
position of a class among the others is never written.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import TypeVar

import torch
from torch import Tensor

from rootbound.core.errors import InputError

log = logging.getLogger(__name__)
Key = TypeVar("Key", bound=Hashable)
ALL = "all"
"""The word for every class in a list of classes."""
MOST_NAMES = 20
"""Largest number of names that are all written out."""
NUMBER = re.compile(r"-?[0-9]{1,18}(\.0+)?")
RANGE = re.compile(r"(-?[0-9]{1,18})\s*-\s*(-?[0-9]{1,18})")


class Labels(tuple[int, ...]):
    """Labels of classes that were looked up: positions, even if the names are other numbers."""

    __slots__ = ()


@dataclass(frozen=True)
class ClassNames:
    """The names of the classes of a data set, in the order of its labels.

    Args:
        name: Name of the data set.
        names: Names of its classes.
    """

    name: str
    names: tuple[str, ...]

    def find(self, text: str) -> Labels:
        """Return the labels of the classes in a list such as `cat,dog`, `1,3,5-7` or `all`.

        Raises:
            InputError: A part names no class, or several.
        """
        if text.strip() == ALL:
            return Labels(range(len(self.names)))
        parts, start = [part.strip() for part in text.split(",")], 0
        labels: list[int] = []
        while start < len(parts):
            # A name may contain commas: take the longest name that fits.
            widest = min(len(parts), start + self._widest)
            ends = (end for end in range(widest, start, -1) if ",".join(parts[start:end]) in self)
            end = next(ends, start + 1)
            labels += self._find_part(",".join(parts[start:end]))
            start = end
        return Labels(labels)

    def find_all(self, chosen: Iterable[int | str]) -> Labels:
        """Return the labels of classes, of which texts are names and numbers are labels.

        A number that is also the name of another class is a label all the same, with a warning.

        Raises:
            InputError: There is no such class.
        """
        given = list(chosen)
        labels = Labels(
            self.find_one(one) if isinstance(one, str) else self._check_label(one) for one in given
        )
        mixed = [
            (label, self.names[label])
            for one, label in zip(given, labels, strict=True)
            if not isinstance(one, str) and self._by_number.get(label, [label]) != [label]
        ]
        if mixed and not isinstance(chosen, Labels):
            numbers, names = zip(*mixed, strict=True)
            log.warning(
                "%s: whole numbers are labels from 0, so that %s stands for the classes called %s; "
                "write names as texts: '%s'",
                self.name, ",".join(map(str, numbers)), ",".join(names), numbers[0],
            )  # fmt: skip
        return labels

    def _check_label(self, label: int) -> int:
        with contextlib.suppress(TypeError):  # it is not a whole number
            if 0 <= (number := index(label)) < len(self.names):
                return number
        is_name = str(label) in self
        raise InputError(
            f"labels of the classes of {self.name}, from 0 to {len(self.names) - 1}",
            str(label),
            f"write '{label}' for the class called {label}, and so for the others"
            if is_name
            else "correct the label, or give the name as a text",
        )

    def find_one(self, name: str) -> int:
        """Return the label of the class with this name, or of the only one with this number.

        Raises:
            InputError: There is none, or several.
        """
        found = self._by_name.get(_strip(name))
        if found is None and _is_number(name):
            found = self._by_number.get(_number(name))
        if found is None:
            raise self._unknown_class_error(name)
        if len(found) > 1:
            raise InputError(
                f"one class of {self.name} that is called {name}",
                ", ".join(repr(self.names[label]) for label in found),
                "write its name in full, or rename one of them",
            )
        return found[0]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _strip(name) in self._by_name

    def offer(self) -> str:
        """Return a description of the classes to choose from."""
        return describe_names(self.names) if self.names else "none"

    @cached_property
    def _by_name(self) -> Mapping[str, list[int]]:
        return _group(enumerate(map(_strip, self.names)))

    @cached_property
    def _by_number(self) -> Mapping[int, list[int]]:
        """The labels of classes whose names are numbers, in any form: `1`, `01`, `1.0`."""
        numbers = ((label, name.strip()) for label, name in enumerate(self.names))
        return _group((label, _number(name)) for label, name in numbers if _is_number(name))

    @cached_property
    def _widest(self) -> int:
        """Largest number of parts between commas in a name."""
        return 1 + max((name.count(",") for name in self.names), default=0)

    def _find_part(self, part: str) -> list[int]:
        if part in self or _is_number(part):
            return [self.find_one(part)]
        if (ends := RANGE.fullmatch(part)) is None or not self._by_number:
            raise self._unknown_class_error(part)
        first, last = int(ends[1]), int(ends[2])
        if first > last:
            raise InputError(
                f"a range of classes of {self.name} from low to high",
                repr(part),
                "correct the class list",
            )
        # A range means all of its classes: a gap is an error that names the first missing one.
        return [self.find_one(str(number)) for number in range(first, last + 1)]

    def _unknown_class_error(self, part: str) -> InputError:
        near = difflib.get_close_matches(part, self.names, n=1)
        if near and not _is_number(near[0]) and not _is_number(part):
            hint = f"did you mean {near[0]!r}?"
        elif self._by_number or not (_is_number(part) or RANGE.fullmatch(part)):
            hint = "correct the class list"
        else:
            hint = "write the names of classes, not their positions"
        return InputError(f"classes of {self.name} out of {self.offer()}", repr(part), hint)


def parse_classes(text: str) -> tuple[int, ...]:
    """Read numbers such as `0-4` or `1,3,5-7`.

    Raises:
        InputError: The text is not of that form.
    """
    labels: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        numbers = first.isdecimal() and last.isdecimal() and max(len(first), len(last)) <= 6
        if not numbers or int(first) > int(last):
            raise InputError("classes such as 0-4 or 1,3,5-7", repr(text), "correct the class list")
        labels.extend(range(int(first), int(last) + 1))
        if len(labels) > 100_000:
            raise InputError("at most 100,000 classes", repr(text), "narrow the class list")
    return tuple(labels)


def describe(labels: Sequence[int]) -> str:
    """Write numbers in short form: `0-4`, `1,3,5`."""
    contiguous = list(labels) == list(range(labels[0], labels[0] + len(labels)))
    if contiguous and len(labels) > 1:
        return f"{labels[0]}-{labels[-1]}"
    return ",".join(map(str, labels))


def write_names(names: Sequence[str]) -> str:
    """Write the names of classes so that they can be parsed: `0-4`, `1,3,5`, `cat,dog`."""
    if all(name.isdecimal() and str(int(name)) == name for name in names):
        return describe([int(name) for name in names])
    return ",".join(names)


def describe_names(names: Sequence[str]) -> str:
    """Write the names of classes for people: `0-4`, `cat, dog`; only the first of many."""
    short = write_names(names)
    numbered = all(name.isdecimal() for name in names)
    if len(names) <= MOST_NAMES or (numbered and "," not in short):
        return short if numbered else ", ".join(names)
    return f"{', '.join(names[: MOST_NAMES // 2])}, … ({len(names):,} classes)"


def parse_positions(text: str, names: tuple[str, ...]) -> Labels:
    """Read a list of classes from a model file before 2026-11-29, in which numbers are positions.

    A name has precedence over the same number as a position, except in a range.

    Raises:
        InputError: A part is neither.
    """
    if text.strip() == ALL:
        return Labels(range(len(names)))
    labels: list[int] = []
    for part in (part.strip() for part in text.split(",")):
        labels += [names.index(part)] if part in names else parse_classes(part)
    return Labels(labels)


def number_classes(*labels: Tensor) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """Return the numbers that occur, as names of classes, and the labels renumbered from 0.

    A number without samples is not a class: the letters of EMNIST are 1 to 26.

    Raises:
        InputError: A label is negative, which often means a sample without a class.
    """
    found = torch.cat(labels).unique()
    if len(found) and found[0] < 0:
        raise InputError(
            "labels that are whole numbers from 0", str(int(found[0])),
            "leave out samples without a class, or number the classes",
        )  # fmt: skip
    numbered = tuple(torch.searchsorted(found, part) for part in labels)
    return tuple(str(number) for number in found.tolist()), numbered


def _group(pairs: Iterable[tuple[int, Key]]) -> dict[Key, list[int]]:
    groups: dict[Key, list[int]] = {}
    for label, key in pairs:
        groups.setdefault(key, []).append(label)
    return groups


def _strip(name: str) -> str:
    """Return a name in the form that it has in a list: without blanks around it and its commas."""
    return ",".join(map(str.strip, name.split(",")))


def _is_number(name: str) -> bool:
    return NUMBER.fullmatch(name) is not None


def _number(name: str) -> int:
    return int(name.partition(".")[0])
