"""A network as a list of calls that holds for batches of every size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rootbound.core.devices import set_seed
from rootbound.networks.blocks.recording import (
    Call,
    NotRecordableError,
    Recording,
    Ref,
    list_leaves,
    map_leaves,
    record,
)

MOST_CLOSED = 64
"""Most modules that are recorded as one call before the whole network counts as one block."""


@dataclass(frozen=True)
class Size:
    """A number that depends on the size of the batch: its values for two batches."""

    first: int
    second: int


@dataclass
class Trace:
    """The calls of a network in one mode.

    Args:
        calls: The calls, with a `Size` for each number that depends on the size of the batch.
        outputs: The network's outputs, with a `Ref` for each tensor.
        returned: What each module returned the last time it ran, by its dotted name.
        other_shapes: Shapes of the results for the second batch, call by call.
    """

    calls: list[Call]
    outputs: Any
    returned: dict[str, Any]
    other_shapes: list[dict[tuple[int | str, ...], tuple[int, ...]]]

    def shapes(self, ref: Ref) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shape of a tensor for the two batches."""
        return self.calls[ref.call].shapes[ref.way], self.other_shapes[ref.call][ref.way]


class DifferingCallsError(Exception):
    """A call differs between two batches. The argument is the dotted name of the calling module."""


def trace(
    network: nn.Module, batches: tuple[Tensor, Tensor], *, strict: bool = False
) -> dict[bool, Trace] | None:
    """Return the calls of a network in training mode and in evaluation mode.

    A module whose calls depend on the values of its inputs is recorded as one call.

    Args:
        network: The network.
        batches: Two batches of different sizes and values.
        strict: Whether to give up where calls differ between the batches.

    Returns:
        The calls by whether the network is training; None where the network itself would have to be
        one call.
    """
    closed: frozenset[str] = frozenset()
    for _ in range(MOST_CLOSED):
        try:
            return {
                mode: _trace_mode(network.train(mode), batches, closed) for mode in (True, False)
            }
        except (NotRecordableError, DifferingCallsError) as error:
            (path,) = error.args
            if not path or path in closed or (strict and isinstance(error, DifferingCallsError)):
                return None
            closed |= {path}
    return None


def _trace_mode(
    network: nn.Module, batches: tuple[Tensor, Tensor], closed: frozenset[str]
) -> Trace:
    recordings = []
    for batch in batches:
        with torch.random.fork_rng(devices=[]):
            set_seed(0)
            recordings.append(record(network, batch, closed))
    return _join(*recordings)


def _join(first: Recording, second: Recording) -> Trace:
    """Return two recordings of the same calls as one trace."""
    calls = []
    for one, other in zip(first.calls, second.calls, strict=False):
        if (one.kind, one.path, one.writes) != (other.kind, other.path, other.writes):
            raise DifferingCallsError(_find_common_path(one.path, other.path))
        if not _have_same_target(one, other):
            raise DifferingCallsError(one.path)
        join = _make_joiner(one.path)
        calls.append(
            replace(one, args=join(one.args, other.args), kwargs=join(one.kwargs, other.kwargs))
        )
    if len(first.calls) != len(second.calls):
        longer = max(first.calls, second.calls, key=len)
        raise DifferingCallsError(longer[len(calls)].path)
    outputs = _make_joiner("")(first.outputs, second.outputs)
    return Trace(calls, outputs, first.returned, [call.shapes for call in second.calls])


def _have_same_target(one: Call, other: Call) -> bool:
    if isinstance(one.target, Tensor) and isinstance(other.target, Tensor):
        return torch.equal(one.target, other.target)
    return bool(one.target == other.target)


def _make_joiner(path: str) -> Callable[[Any, Any], Any]:
    """Return a function that joins the arguments of two calls made by one module."""

    def join(one: Any, other: Any) -> Any:
        others = list_leaves(other)
        if len(list_leaves(one)) != len(others):
            raise DifferingCallsError(path)
        remaining = iter(others)
        return map_leaves(one, lambda value: choose(value, next(remaining)))

    def choose(value: Any, other: Any) -> Any:
        if type(value) is not type(other):
            raise DifferingCallsError(path)
        if value == other:
            return value
        if type(value) is not int:
            raise DifferingCallsError(path)
        return Size(value, other)

    return join


def _find_common_path(one: str, other: str) -> str:
    """Return the dotted name of the innermost module that two names share."""
    shared = []
    for part, other_part in zip(one.split("."), other.split("."), strict=False):
        if part != other_part:
            break
        shared.append(part)
    return ".".join(shared)
