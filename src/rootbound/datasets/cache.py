"""Cached samples in our own files: those too large for memory, and those slow to compute."""

from __future__ import annotations

import hashlib
import logging
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
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.core.files import make_folder, write_atomically
from rootbound.data.mapped import MappedRows, open_rows
from rootbound.datasets.dataset import Layout

FOLDER = "ROOTBOUND_CACHE"
"""Environment variable that names the folder; ~/.cache/rootbound without it."""
CHUNK = 4096
"""Number of samples that are processed at a time."""
VALUES, CHECK = "values", "sha256"
"""Names of a tensor and of its checksum in a file."""
Part = tuple[Tensor, Tensor]
"""Some samples, and their positions in the source."""
log = logging.getLogger(__name__)


def collect(count: int, parts: Iterable[Part], source: str, layout: Layout) -> Part:
    """Return samples as one tensor, with their positions: in memory, or in a file if too large.

    If the file exists already, the parts are not read.

    Args:
        count: Largest number of samples.
        parts: The samples in parts, all of one shape and type.
        source: A text that changes whenever the samples do.
        layout: How much may be in memory.

    Raises:
        InputError: There are no samples, or no space for them.
    """
    path = _find_cache_file(source, ".npy")
    numbers_path = path.with_suffix(".rows.npy")
    if path.is_file() and numbers_path.is_file():
        return open_rows(path), torch.from_numpy(np.load(numbers_path))
    coming = iter(parts)
    first = next(coming, None)
    if first is None:
        raise InputError("samples", "none", "check the files")
    size = count * first[0][0].numel() * first[0].element_size()
    everything = chain([first], coming)
    if size <= layout.in_memory * 2**30:
        return _join(count, everything)
    _check_space(path.parent, size)
    # The positions are written last: without them the samples do not count.
    numbers = _write(path, everything)
    _write(numbers_path, iter([(numbers, numbers)]))
    return open_rows(path), numbers


def convert(
    values: Tensor, shape: tuple[int, ...], change: Callable[[Tensor, slice], Tensor], what: str
) -> Tensor:
    """Return converted samples, computed a part at a time; in a file if the samples are in one.

    Args:
        values: The samples `(N, …)`.
        shape: The shape of one converted sample.
        change: Converts some samples, given their rows; the type stays the same.
        what: A description of the conversion that no other conversion has.
    """
    parts = (
        (change(values[rows], rows), torch.arange(len(values))[rows])
        for start in range(0, len(values), CHUNK)
        for rows in [slice(start, start + CHUNK)]
    )
    if not isinstance(values, MappedRows):
        outputs = values.new_empty((len(values), *shape))
        for part, numbers in parts:
            outputs[numbers] = part
        return outputs
    rows = b"" if values.rows is None else values.rows.numpy().tobytes()
    source = f"{values.path} {hashlib.sha256(rows).hexdigest()} {what}"
    return collect(len(values), parts, source, Layout(in_memory=0))[0]


def make_once(source: str, make: Callable[[], Tensor]) -> Tensor:
    """Return a tensor from its file, or compute it and save it.

    A damaged file is ignored, and so is a failure to write it: the file only saves time.

    Args:
        source: A text that changes whenever the tensor would.
        make: Computes the tensor.
    """
    try:
        path = _find_cache_file(source, ".safetensors")
    except InputError:
        return make()
    try:
        stored = load(path.read_bytes())
        if torch.equal(stored[CHECK], _compute_checksum(stored[VALUES])):
            return stored[VALUES]
    except (OSError, SafetensorError, KeyError, ValueError):
        pass  # there is no file, or it is damaged
    values = make().contiguous()
    try:
        write_atomically(path, save({VALUES: values, CHECK: _compute_checksum(values)}))
    except InputError as reason:
        log.info("%s: it is computed again the next time", reason)
    return values


def describe_files(paths: Iterable[Path]) -> str:
    """Return a text that changes when one of the files does; links may be broken."""
    return repr([_describe_file(path) for path in paths])


def _describe_file(path: Path) -> tuple[str, int, int]:
    try:
        state = path.stat()
    except OSError:  # opening it later will report the error
        return str(path), 0, 0
    return str(path.resolve()), state.st_size, state.st_mtime_ns


def _find_cache_file(source: str, suffix: str) -> Path:
    """Return the path of the file for a source.

    Raises:
        InputError: No folder is named, and this user has no home.
    """
    name = f"{hashlib.sha256(source.encode()).hexdigest()[:32]}{suffix}"
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER]) / name
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise InputError("a home of this user", "none", f"name a folder in {FOLDER}") from None
    return home / "rootbound" / name


def _compute_checksum(values: Tensor) -> Tensor:
    head = f"{values.dtype} {tuple(values.shape)}".encode()
    digest = hashlib.sha256(head + values.numpy().tobytes()).digest()
    return torch.tensor(list(digest), dtype=torch.uint8)


def _check_space(folder: Path, size: int) -> None:
    make_folder(folder)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise InputError(
            f"{size / 2**30:.1f} GiB of free space in {folder}, for a data set that is too large "
            "for memory",
            f"{free / 2**30:.1f} GiB",
            f"name another folder in {FOLDER}, or raise `in_memory`",
        )


def _join(count: int, parts: Iterator[Part]) -> Part:
    """Return the samples of all parts, at most `count` and at least one, in memory."""
    outputs: Tensor | None = None
    numbers: list[Tensor] = []
    filled = 0
    for part, part_numbers in parts:
        if outputs is None:
            outputs = part.new_empty((count, *part.shape[1:]))
        outputs[filled : filled + len(part)] = part
        filled += len(part)
        numbers.append(part_numbers)
    assert outputs is not None  # there is a first part
    return outputs[:filled], torch.cat(numbers)


def _write(path: Path, parts: Iterator[Part]) -> Tensor:
    """Write the samples whole or not at all; return their numbers."""
    numbers: list[Tensor] = []
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=".writing.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            head: dict[str, Any] = {}
            for part, part_numbers in parts:
                values = part.contiguous().numpy()
                if not head:
                    kind = npy.dtype_to_descr(values.dtype)
                    head = {"descr": kind, "fortran_order": False, "shape": (0, *part.shape[1:])}
                    npy.write_array_header_1_0(file, head)
                if part.is_floating_point() and not np.isfinite(values).all():
                    raise InputError("finite inputs", "NaN or infinite values", "clean the data")
                file.write(values.data)
                numbers.append(part_numbers)
            rows = torch.cat(numbers)
            # The header of the format has room for a first dimension of any length.
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
