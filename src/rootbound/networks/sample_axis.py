"""Find the axis of an inner tensor along which its samples lie: the first one or any other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rootbound.networks.calls import Calls

FEW = 7
"""Inputs that show along which axis they lie: a prime, so that few axes have that length."""
CLOSE = 1e-3
"""Largest difference that is a rounding error, relative to the largest value."""


@dataclass(frozen=True)
class SampleAxis:
    """The axis of a tensor along which samples lie; each has the same number of entries.

    Args:
        axis: The axis.
        groups: How many times the sequence of samples repeats along it. Within each repetition the
            entries of one sample are adjacent.
    """

    axis: int
    groups: int = 1

    def put_first(self, tensor: Tensor, samples: int) -> Tensor | None:
        """Return the tensor with a row for each sample; None if it does not fit this axis.

        Args:
            tensor: The tensor.
            samples: How many samples there are.
        """
        if tensor.dim() <= self.axis:
            return None
        several = tensor.shape[self.axis] // (self.groups * samples)
        if several * self.groups * samples != tensor.shape[self.axis]:
            return None
        parts = tensor.unflatten(self.axis, (self.groups, samples, several))
        rows: Tensor = parts.movedim(self.axis + 1, 0)
        # Drop axes of one entry.
        rows = rows.squeeze(self.axis + 2) if several == 1 else rows
        return rows.squeeze(self.axis + 1) if self.groups == 1 else rows


def find_sample_axis(tensor: Tensor, turned: Tensor, samples: int) -> SampleAxis | None:
    """Return the axis along which samples lie; None if there is no such axis.

    The samples lie along an axis if reversing their order reverses the tensor along this axis.
    Values that are the same for all samples do not count.

    Args:
        tensor: What a call returned.
        turned: What the same call returned for the same samples in reverse order.
        samples: How many samples there are, at least 2.
    """
    if tensor.shape != turned.shape or tensor.dtype.is_complex or not tensor.numel():
        return None
    for axis, size in enumerate(tensor.shape):
        several = size // samples
        for groups in (one for one in range(1, several + 1) if several % one == 0):
            kept = SampleAxis(axis, groups)
            rows, others = (kept.put_first(one, samples) for one in (tensor, turned))
            if rows is None or others is None:
                break
            moved = rows.flip(0)
            if are_same(moved, others) and not are_same(rows, moved):
                return kept
    return None


def are_same(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors are the same up to rounding errors.

    Args:
        first: One tensor.
        second: The other tensor.
    """
    if first.shape != second.shape:
        return False
    one, other = first.double(), second.double()
    largest = float(one.nan_to_num(0.0, 0.0, 0.0).abs().max())
    return torch.allclose(one, other, rtol=CLOSE, atol=CLOSE * largest, equal_nan=True)


@torch.no_grad()
def find_elsewhere(network: nn.Module, inputs: Tensor) -> dict[int, SampleAxis]:
    """Return the sample axis of each tensor whose rows are not samples, by the number of its call.

    Args:
        network: The network in evaluation mode, which makes the same calls for all inputs.
        inputs: Inputs `(N, *shape)`, at least 2, different from each other; `FEW` of them are used.
    """
    seen: dict[int, Tensor] = {}
    found: dict[int, SampleAxis] = {}
    inputs = inputs[:FEW]
    samples = len(inputs)

    def keep(number: int, _: str, tensor: Tensor) -> Tensor:
        if tensor.dim() and any(size % samples == 0 for size in tensor.shape):
            seen[number] = tensor.clone()
        return tensor

    def compare(number: int, _: str, tensor: Tensor) -> Tensor:
        known = seen.get(number)
        # Some networks make other calls the second time, because they keep masks or the like.
        if known is not None and tensor.shape == known.shape and len(tensor) != samples:
            kept = find_sample_axis(known, tensor, samples)
            if kept is not None:
                found[number] = kept
        return tensor

    for watch, some in ((keep, inputs.clone()), (compare, inputs.flip(0))):
        with Calls(watch):
            network(some)
    return found
