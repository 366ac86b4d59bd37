"""Reading tensors from files of any origin, single or in shards, without running code."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from rootbound.core.errors import InputError, take_first_line
from rootbound.publishing.file_kinds import (
    INDEX,
    PYTORCH,
    SAFETENSORS,
    find_kind,
    read_json,
    refuse_pickle,
)

REFUSED = re.compile(r"GLOBAL ([\w.]+)")
DEEPEST = 4
"""Largest depth of nested dictionaries that are searched."""
INDEX_ENDING = ".index.json"
PART = re.compile(r"-\d{5}-of-(\d{5})\.")
SHOWN = 3


class NotRead:
    """Stands for a harmless value beside weights, which is not read."""

    def __new__(cls, *_: object) -> NotRead:
        """Return an instance, whatever the arguments."""
        return super().__new__(cls)

    def __init__(self, *_: object) -> None:
        """Keep nothing."""

    def __setstate__(self, _: object) -> None:
        """Keep nothing."""


BESIDE = (
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
    "numpy.dtype", "numpy.ndarray", "_codecs.encode",
    "argparse.Namespace", "datetime.datetime", "datetime.timedelta", "types.SimpleNamespace",
    *(f"{module}.{system}Path" for module in ("pathlib", "pathlib._local")
      for system in ("Posix", "Windows", "PurePosix", "PureWindows")),
)  # fmt: skip
"""Types of values that training scripts save beside weights, and that are not read."""
FACTORIES = ("list", "dict", "int", "float", "set", "str")
"""Possible factories of a `defaultdict`, which is read as a plain dictionary."""


@dataclass(frozen=True)
class Content:
    """The content of a file of weights.

    Args:
        path: The file.
        parts: Tensors by name, for each dictionary in the file. A nested dictionary has its keys
            joined with dots; the outermost has an empty key.
        notes: Descriptions of what was done to read them.
    """

    path: Path
    parts: Mapping[str, Mapping[str, Tensor]]
    notes: tuple[str, ...] = ()

    def joined(self) -> Iterator[Content]:
        """Yield the content with all dictionaries joined, first by names, then with their keys."""
        if len(self.parts) < 2:
            return
        note = (*self.notes, f"{len(self.parts)} dictionaries of the file were put together")
        plain: dict[str, Tensor] = {}
        keyed: dict[str, Tensor] = {}
        for key, part in self.parts.items():
            plain |= part
            keyed |= {f"{key}.{name}" if key else name: value for name, value in part.items()}
        for names in (plain, keyed):
            if len(names) == sum(map(len, self.parts.values())):  # all names are different
                yield Content(self.path, {"": names}, note)


def read_content(path: Path) -> Content:
    """Return the tensors of a file, or of the shards that an index names; nothing is executed.

    Raises:
        InputError: The file is missing, damaged, of another kind, would run code, or has no
            tensors.
    """
    if not path.is_file():
        raise InputError(f"a file of weights at {path}", "no such file", "check the path")
    kind = find_kind(path)
    if kind == INDEX:
        return _read_shards(path)
    _check_whole(path)
    return Content(
        path, {"": _read_safetensors(path)} if kind == SAFETENSORS else _read_pytorch(path)
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except Exception as error:  # a strange file may fail in any way
        raise _damaged_error(path, error) from None


def _damaged_error(path: Path, error: Exception) -> InputError:
    return InputError(
        f"a readable file of weights at {path}",
        take_first_line(error),
        "the file is damaged or not whole: download or save it again",
    )


def _read_pytorch(path: Path) -> dict[str, dict[str, Tensor]]:
    try:
        factories = tuple(f"builtins.{name}" for name in FACTORIES)
        names: list[tuple[Any, str]] = [(NotRead, name) for name in BESIDE + factories]
        dictionary = (_make_dictionary, "collections.defaultdict")
        beside = torch.serialization.safe_globals([*names, dictionary])
        with beside, path.open("rb") as file:  # an open file, so that its name does not matter
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = REFUSED.search(str(error))
        raise refuse_pickle(path, found[1] if found else "of another kind") from None
    except Exception as error:  # a strange file may fail in any way
        raise _damaged_error(path, error) from None
    parts: dict[str, dict[str, Tensor]] = {}
    for key, name, tensor in _find_tensors(content, (), set()):
        parts.setdefault(key, {})[name] = tensor
    if not parts:
        held = "a value without tensors" if isinstance(content, NotRead) else type(content).__name__
        if isinstance(content, Mapping):
            keys = ", ".join(ascii(key)[:80] for key in list(content)[:SHOWN])
            held = f"a dictionary without any tensor ({keys})" if keys else "an empty dictionary"
        raise InputError(f"a state dict in {path}", held, "save module.state_dict() alone")
    return parts


def _make_dictionary(*_: object) -> dict[object, object]:
    """Return an empty dictionary, whatever the factory of its missing values."""
    return {}


def _find_tensors(
    value: object, keys: tuple[str, ...], above: set[int]
) -> Iterator[tuple[str, str, Tensor]]:
    """Yield the key of its dictionary, the name and the tensor, for each one in a dictionary."""
    if not isinstance(value, Mapping) or len(keys) > DEEPEST or id(value) in above:
        return
    for name, part in value.items():
        if not isinstance(name, str):
            continue
        if isinstance(part, Tensor):
            yield ".".join(keys), name, part
        else:
            yield from _find_tensors(part, (*keys, name), above | {id(value)})


def _check_whole(path: Path) -> None:
    """Raise an error where a file is one of several shards."""
    found = PART.search(path.name)
    if found is None or int(found[1]) < 2:
        return
    indexes = sorted(path.parent.glob(f"*{INDEX_ENDING}"))
    if indexes:
        raise InputError(
            f"all {int(found[1])} shards of the weights",
            f"one of them, {path.name}",
            f"name their index, {indexes[0].name}, or the folder",
        )


def _read_shards(index: Path) -> Content:
    """Return the tensors of the files that an index names, which lie beside it."""
    places = read_json(index)["weight_map"]
    if not isinstance(places, dict) or not places or not all(map(_is_name, places.values())):
        raise InputError(
            f"an index of shards that lie beside it at {index}", "another", "save it again"
        )
    files = sorted(set(places.values()))
    absent = [name for name in files if not (index.parent / name).is_file()]
    if absent:
        raise InputError(
            f"the {len(files)} shards that {index} names",
            f"{len(files) - len(absent)} of them, without {', '.join(absent[:SHOWN])}",
            "download what is missing",
        )
    weights: dict[str, Tensor] = {}
    for name in files:
        shard = _read_shard(index.parent / name)
        named = {key for key, place in places.items() if place == name}
        lost, more = sorted(named - set(shard)), sorted(set(shard) - named)
        if lost or more:
            raise InputError(
                f"in {name} the {len(named)} tensors that {index.name} names",
                f"{len(lost)} missing, {len(more)} others ({', '.join([*lost, *more][:SHOWN])})",
                "download the shards and their index again",
            )
        weights |= shard
    return Content(index, {"": weights}, (f"{len(files)} shards were put together",))


def _is_name(name: Any) -> bool:
    """Return whether this names a file in the same folder."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & {"/", "\\"}


def _read_shard(path: Path) -> Mapping[str, Tensor]:
    kind = find_kind(path)
    if kind == INDEX:
        raise InputError(f"a shard at {path}", "an index", "save it again")
    return _read_pytorch(path).get("", {}) if kind == PYTORCH else _read_safetensors(path)
