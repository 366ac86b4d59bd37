"""Samples that stay in a file: rows of an array, read when they are needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

SMALL = 64 * 2**20
"""Selected rows that need at most this many bytes are read at once."""


class MappedRows:
    """Rows of an array in an `.npy` file, in any order; the file must not change.

    They take a tensor's place as the inputs of `Data`: they have a shape and a type, and indexing
    reads rows, `[:]` all of them. Another process that receives them opens the file again; the
    samples are not sent.

    Args:
        path: The file.
        rows: Which of its rows to use `(N,)`; all if left out.
    """

    def __init__(self, path: Path, rows: Tensor | None = None) -> None:
        self.path, self.rows = path, rows
        self._array = np.asarray(np.load(path, mmap_mode="r"))
        count = len(self._array if rows is None else rows)
        self.shape = torch.Size((count, *self._array.shape[1:]))
        self.dtype = torch.from_numpy(np.empty(0, self._array.dtype)).dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        numbers = index.numpy() if isinstance(index, Tensor) else index
        if self.rows is not None:
            numbers = self.rows.numpy()[numbers]
        values = self._array[numbers]
        # NumPy copies rows that an array selects, but a slice is still a view of the file.
        return torch.from_numpy(values if isinstance(numbers, np.ndarray) else np.array(values))

    def __reduce__(self) -> tuple[Callable[..., MappedRows], tuple[Path, Tensor | None]]:
        return MappedRows, (self.path, self.rows)


def open_rows(path: str | Path) -> Tensor:
    """Return all rows of an `.npy` file as inputs of `Data` that stay in the file."""
    return cast(Tensor, MappedRows(Path(path)))


def select_rows(values: Tensor, index: Tensor) -> Tensor:
    """Return the rows of a tensor at `index`; rows in a file stay there unless they are few."""
    if not isinstance(values, MappedRows):
        return values[index]
    selected = MappedRows(values.path, index if values.rows is None else values.rows[index])
    size = math.prod(selected.shape) * selected.dtype.itemsize
    return selected[:] if size <= SMALL else cast(Tensor, selected)
