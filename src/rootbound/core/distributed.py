"""One training on several devices, by the processes that `torchrun` starts.

Every process runs the same program with the same seed. In each step all of them draw the same
batch, each learns from its part, and gradients are averaged before the optimiser uses them. There
is no wrapper around a network, because losses may call any part of it in any order.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import Function, FunctionCtx

from rootbound.core.errors import InputError

Item = TypeVar("Item")


def count_started() -> int:
    """Return how many processes `torchrun` has started for this program; 1 without `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def count_processes() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_main_process() -> bool:
    """Return whether this process is the one that writes files and prints."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


@contextlib.contextmanager
def join() -> Iterator[None]:
    """Train together with the other processes, if `torchrun` has started some."""
    if count_started() == 1:
        yield
        return
    distributed.init_process_group()
    try:
        yield
    finally:
        distributed.destroy_process_group()


def share(batch: Item) -> Item:
    """Return this process's part of a batch: every n-th sample of each tensor in its tuples.

    Where the batch's size is a multiple of the number of processes, parts are equal, and the mean
    of their means is that of the batch.

    Raises:
        InputError: There are fewer samples than processes.
    """
    count = count_processes()
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
    """Give every process the mean of all processes' gradients and running statistics.

    A weight that a process's part of the batch does not reach has the gradient 0 there. One that
    no process's part reaches keeps no gradient.
    """
    count = count_processes()
    if count == 1:
        return
    weights = list(model.parameters())
    reached = torch.tensor([one.grad is not None for one in weights], dtype=torch.uint8)
    distributed.all_reduce(reached, distributed.ReduceOp.MAX)
    for one, is_reached in zip(weights, reached.tolist(), strict=True):
        if is_reached and one.grad is None:
            one.grad = torch.zeros_like(one)
    gradients = [one.grad for one in weights if one.grad is not None]
    statistics = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    groups: dict[torch.dtype, list[Tensor]] = {}
    for value in (*gradients, *statistics):
        groups.setdefault(value.dtype, []).append(value)
    for group in groups.values():
        # Divide first: the sum of two masks of the lowest number would be minus infinity.
        flat = torch.cat([value.reshape(-1) for value in group]) / count
        distributed.all_reduce(flat)
        parts = flat.split([value.numel() for value in group])
        for value, part in zip(group, parts, strict=True):
            value.copy_(part.view_as(value))


def broadcast(value: Item) -> Item:
    """Return what the main process passes; the other processes may pass anything."""
    if count_processes() == 1:
        return value
    values = [value]
    with torch.device("cpu"):
        distributed.broadcast_object_list(values)
    return values[0]


def sum_tensor(values: Tensor) -> Tensor:
    """Return the sum of a tensor over processes, differentiable in the values of each."""
    if count_processes() == 1:
        return values
    result: Tensor = _Sum.apply(values)
    return result


def sum_count(count: int) -> int:
    """Return the sum of a number over processes."""
    return _reduce_count(count, distributed.ReduceOp.SUM)


def max_count(count: int) -> int:
    """Return the largest of a number over processes."""
    return _reduce_count(count, distributed.ReduceOp.MAX)


def _reduce_count(count: int, operation: Any) -> int:
    if count_processes() == 1:
        return count
    value = torch.tensor(count)
    distributed.all_reduce(value, operation)
    return int(value)


class _Sum(Function):
    """The sum over processes of a tensor, and of its gradients.

    The result of each process depends on the values of all. The same function of torch,
    `torch.distributed.nn.functional.all_reduce`, is deprecated in 2.13, and its successor private.
    """

    @staticmethod
    def forward(_context: FunctionCtx, values: Tensor) -> Tensor:
        """Return the sum of the values."""
        result = values.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(result)
        return result

    @staticmethod
    def backward(_context: FunctionCtx, gradient: Tensor) -> Tensor:
        """Return the sum of the gradients."""
        return sum_tensor(gradient)
