"""Samples that stay in a file: a tensor whose rows are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_map

SMALL = 64 * 2**20
"""Bytes: a choice of rows that is no larger is read at once."""


class Mapped(Tensor):
    """Rows of an array in an `.npy` file, in any order; the file must not change.

    It takes part in everything as a tensor. Its own are indexing by rows, which reads those
    alone, and `chosen`, which reads none; any other computation reads all of it. Sent to
    another process, it is opened there again: the samples are not sent.

    Args:
        path: of the file.
        rows: which of them `(N,)`, all when left out.
    """

    path: Path
    rows: Tensor | None
    _stored: NDArray[Any]

    @staticmethod
    def __new__(cls, path: Path, rows: Tensor | None = None) -> Mapped:  # noqa: D102
        stored = np.load(path, mmap_mode="r")
        shape = (len(stored) if rows is None else len(rows), *stored.shape[1:])
        kind = torch.from_numpy(np.empty(0, stored.dtype)).dtype
        made: Mapped = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=kind)
        made.path, made.rows, made._stored = path, rows, stored
        return made

    def chosen(self, index: Tensor) -> Tensor:
        """Return the rows at `index`: read where they are few, else as another of this kind."""
        rows = index if self.rows is None else self.rows[index]
        fresh = Mapped(self.path, rows)
        return fresh.read() if fresh.numel() * fresh.element_size() <= SMALL else fresh

    def read(self) -> Tensor:
        """Return all rows, in memory."""
        rows = slice(None) if self.rows is None else self.rows.numpy()
        return torch.from_numpy(np.array(self._stored[rows]))

    def __getitem__(self, index: Any) -> Tensor:
        if isinstance(index, tuple) or index is None or index is Ellipsis:
            return self.read()[index]
        if isinstance(index, Tensor):
            index = index.numpy()
        rows = index if self.rows is None else self.rows.numpy()[index]
        return torch.from_numpy(np.array(self._stored[rows]))

    def numpy(self, *, force: bool = False) -> Any:
        """Return all rows as an array, in memory."""
        return self.read().numpy(force=force)

    def tolist(self) -> Any:
        """Return all rows as lists, in memory."""
        return self.read().tolist()

    def contiguous(self, *given: Any, **named: Any) -> Tensor:
        """Return all rows, in memory."""
        return self.read()

    def __deepcopy__(self, memory: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Mapped, (self.path, self.rows)

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Mapped({str(self.path)!r}, {tuple(self.shape)}, {self.dtype})"

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute with all rows in memory, as with any other tensor."""
        args, kwargs = tree_map(_in_memory, (args, kwargs or {}))
        return function(*args, **kwargs)


def rows_of(values: Tensor, index: Tensor) -> Tensor:
    """Return the rows of a tensor at `index`, left in its file where it is one that has one."""
    return values.chosen(index) if isinstance(values, Mapped) else values[index]


def _in_memory(value: Any) -> Any:
    return value.read() if isinstance(value, Mapped) else value
