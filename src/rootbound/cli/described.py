"""Descriptions of a command's options, read from its dataclass, for the parser and for help."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import pairwise
from typing import Any, get_type_hints


@dataclass(frozen=True)
class Described:
    """An option, or an argument known by its position.

    Args:
        name: Name of its field, which ends in `_` if it would be a word of Python.
        hint: Type of its values.
        default: Its default, MISSING for an argument.
        title: Title of its group of options, empty for the command's own options.
        text: Its full description.
        brief: Its description on the first screen of help; empty if only its name is there.
        names: Further names, with their dashes.
        settings: Further arguments of `add_argument`, such as `metavar`.
    """

    name: str
    hint: Any
    default: Any
    title: str
    text: str
    brief: str = ""
    names: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name of the field without a final `_`."""
        return self.name.rstrip("_")

    @property
    def flag(self) -> str:
        """The option's first name, with its dashes."""
        return f"--{self.key.replace('_', '-')}"


def describe(kind: type[Any], group: object | None = None) -> Iterator[Described]:
    """Yield the options of a dataclass, with the defaults of a group where it is one."""
    hints, texts = _read(kind)  # type: ignore[arg-type]  # a class is hashable
    title = "" if group is None else str(kind.title)
    for part in fields(kind):
        default = part.default if group is None else getattr(group, part.name)
        if is_dataclass(default):
            yield from describe(type(default), default)
        elif part.name in texts or part.metadata:
            settings = {"help": texts.get(part.name, ""), **part.metadata}
            text, brief = settings.pop("help"), settings.pop("brief", "")
            names = settings.pop("names", ())
            yield Described(
                part.name, hints[part.name], default, title, text, brief, names, settings
            )


@functools.cache
def _read(kind: type[Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return types and docstrings of the fields of a dataclass, which commands may share."""
    return get_type_hints(kind), _read_docstrings(kind)


def _read_docstrings(kind: type[Any]) -> dict[str, str]:
    """Return the docstring below each field of a dataclass, which Python does not keep."""
    definition = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(definition, ast.ClassDef)
    return {
        ast.unparse(part.target): " ".join(ast.literal_eval(below.value).split())
        for part, below in pairwise(definition.body)
        if isinstance(part, ast.AnnAssign) and isinstance(below, ast.Expr)
    }
