"""One training on several devices: what the processes that `torchrun` starts do together.

Every process runs the same program with the same seed. A step's batch is drawn by all of them
and learned from by each in part; gradients are averaged before the optimiser sees them. Losses
may call any part of a network in any order, which a wrapper around its `forward` would not see.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import Function, FunctionCtx

from rootbound.core.errors import InputError

Item = TypeVar("Item")


def started() -> int:
    """Return how many processes `torchrun` has started for this program; one without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def processes() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_main_process() -> bool:
    """Return whether this is the one process of them that writes files and prints."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Train together with the other processes that `torchrun` has started, if it has."""
    if started() == 1:
        yield
        return
    distributed.init_process_group()
    try:
        yield
    finally:
        distributed.destroy_process_group()


def share(batch: Item) -> Item:
    """Return this process's part of a batch: of every tensor in its tuples, each n-th sample.

    Parts are equal, and so is the mean of their means to that of all, where the batch's size
    is a multiple of the number of processes.

    Raises:
        InputError: there are fewer samples than processes.
    """
    count = processes()
    if count == 1:
        return batch
    if isinstance(batch, tuple):
        return cast(Item, tuple(share(part) for part in batch))
    if not isinstance(batch, Tensor):
        return batch
    if len(batch) < count:
        raise InputError(
            f"batches of at least {count} samples, one for each process",
            str(len(batch)),
            "raise the batch size or start fewer processes",
        )
    return cast(Item, batch[distributed.get_rank() :: count])


def average(model: nn.Module) -> None:
    """Give every process the mean of all processes' gradients and running statistics."""
    if processes() == 1:
        return
    gradients = [one.grad for one in model.parameters() if one.grad is not None]
    statistics = [one for one in model.buffers() if one.is_floating_point()]
    _average([*gradients, *statistics])


def _average(values: Iterable[Tensor]) -> None:
    groups: dict[torch.dtype, list[Tensor]] = {}
    for value in values:
        groups.setdefault(value.dtype, []).append(value)
    for group in groups.values():
        flat = torch.cat([value.reshape(-1) for value in group])
        distributed.all_reduce(flat)
        parts = (flat / processes()).split([value.numel() for value in group])
        for value, part in zip(group, parts, strict=True):
            value.copy_(part.view_as(value))


def summed(values: Tensor) -> Tensor:
    """Return the sum over processes, differentiable in the values of each."""
    if processes() == 1:
        return values
    found: Tensor = _Sum.apply(values)
    return found


def total(count: int) -> int:
    """Return the sum of a number over processes."""
    return count if processes() == 1 else _reduced(count, distributed.ReduceOp.SUM)


def largest(count: int) -> int:
    """Return the largest of a number over processes."""
    return count if processes() == 1 else _reduced(count, distributed.ReduceOp.MAX)


def _reduced(count: int, how: Any) -> int:
    value = torch.tensor(count)
    distributed.all_reduce(value, how)
    return int(value)


class _Sum(Function):
    """Every process's result depends on every process's values: so gradients are summed, too."""

    @staticmethod
    def forward(_context: FunctionCtx, values: Tensor) -> Tensor:
        """Sum."""
        found = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(found)
        return found

    @staticmethod
    def backward(_context: FunctionCtx, gradient: Tensor) -> Tensor:
        """Sum."""
        return summed(gradient)
