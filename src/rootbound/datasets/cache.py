"""Data sets that are too large for memory: decoded once into a file, and read from there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.core.files import make_folder
from rootbound.data.mapped import Mapped
from rootbound.datasets.layout import Layout

FOLDER = "ROOTBOUND_CACHE"
"""Environment variable that names the folder; ~/.cache/rootbound without it."""
CHUNK = 4096
"""Samples at a time."""
Part = tuple[Tensor, Tensor]
"""Some samples, and their numbers in the order of the source."""


def kept(count: int, parts: Iterable[Part], source: str, layout: Layout) -> Part:
    """Return samples as one tensor, with their numbers: in memory, or in a file if too large.

    What is in a file already is not asked for again.

    Args:
        count: of the samples, at most.
        parts: of them, all of one shape and type.
        source: a text that changes whenever the samples do.
        layout: says how much may be in memory.

    Raises:
        InputError: there are no samples, or no space for them.
    """
    path = cache_folder() / f"{hashlib.sha256(source.encode()).hexdigest()[:32]}.npy"
    numbers = path.with_suffix(".rows.npy")
    if path.is_file() and numbers.is_file():
        return Mapped(path), torch.from_numpy(np.load(numbers))
    coming = iter(parts)
    first = next(coming, None)
    if first is None:
        raise InputError("samples", "none", "check the files")
    size = count * first[0][0].numel() * first[0].element_size()
    everything = chain([first], coming)
    if size <= layout.in_memory * 2**30:
        return _in_memory(count, everything)
    _check_space(path.parent, size)
    # The numbers come last: without them the samples do not count.
    rows = _write(path, everything)
    _write(numbers, iter([(rows, rows)]))
    return Mapped(path), rows


def changed(
    values: Tensor, shape: tuple[int, ...], change: Callable[[Tensor, slice], Tensor], what: str
) -> Tensor:
    """Return what becomes of samples, a part at a time; in a file again if they are in one.

    Args:
        values: the samples `(N, …)`.
        shape: of one sample afterwards.
        change: makes some samples out of some and their place; the type stays.
        what: the change in words that tell it from every other.
    """
    parts = (
        (change(values[place], place), torch.arange(len(values))[place])
        for start in range(0, len(values), CHUNK)
        for place in [slice(start, start + CHUNK)]
    )
    if not isinstance(values, Mapped):
        outputs = values.new_empty((len(values), *shape))
        for part, numbers in parts:
            outputs[numbers] = part
        return outputs
    rows = b"" if values.rows is None else values.rows.numpy().tobytes()
    source = f"{values.path} {hashlib.sha256(rows).hexdigest()} {what}"
    return kept(len(values), parts, source, Layout(in_memory=0))[0]


def cache_folder() -> Path:
    """Return the folder of what is kept.

    Raises:
        InputError: none is named, and this user has no home.
    """
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER])
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rootbound"
    except RuntimeError:
        raise InputError("a home of this user", "none", f"name a folder in {FOLDER}") from None


def stamp(paths: Iterable[Path]) -> str:
    """Return a text that changes when one of the files does."""
    states = [(str(path.resolve()), path.stat()) for path in paths]
    return repr([(name, state.st_size, state.st_mtime_ns) for name, state in states])


def _check_space(folder: Path, size: int) -> None:
    make_folder(folder)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise InputError(
            f"{size / 2**30:.1f} GiB of free space in {folder}, for a data set that is too large "
            "for memory",
            f"{free / 2**30:.1f} GiB",
            f"name another folder in {FOLDER}, or raise --in-memory",
        )


def _in_memory(count: int, parts: Iterator[Part]) -> Part:
    outputs: Tensor | None = None
    found: list[Tensor] = []
    filled = 0
    for part, numbers in parts:
        if outputs is None:
            outputs = part.new_empty((count, *part.shape[1:]))
        outputs[filled : filled + len(part)] = part
        filled += len(part)
        found.append(numbers)
    assert outputs is not None  # there is a first part
    return outputs[:filled], torch.cat(found)


def _write(path: Path, parts: Iterator[Part]) -> Tensor:
    """Write the samples whole or not at all; return their numbers."""
    found: list[Tensor] = []
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=".writing.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            head: dict[str, Any] = {}
            for part, numbers in parts:
                values = part.contiguous().numpy()
                if not head:
                    kind = npy.dtype_to_descr(values.dtype)
                    head = {"descr": kind, "fortran_order": False, "shape": (0, *part.shape[1:])}
                    npy.write_array_header_1_0(file, head)
                if part.is_floating_point() and not np.isfinite(values).all():
                    raise InputError("finite inputs", "NaN or infinite values", "clean the data")
                file.write(values.data)
                found.append(numbers)
            rows = torch.cat(found)
            # The format leaves room in its head for a first number of any length.
            file.seek(0)
            npy.write_array_header_1_0(file, {**head, "shape": (len(rows), *head["shape"][1:])})
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"to be able to write {path.parent}", reason, f"name another folder in {FOLDER}"
        ) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return rows
