"""Holding part of a tensor inside a network: units or a direction at a value, or all as before."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HeldUnits(nn.Module):
    """Units that are fixed at given values; a tensor of another shape stays as it is.

    Args:
        value: The values for one sample.
        chosen: Which units are fixed.
    """

    value: Tensor
    chosen: Tensor

    def __init__(self, value: Tensor, chosen: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value.clone(), persistent=False)
        self.register_buffer("chosen", chosen.clone(), persistent=False)

    def forward(self, tensor: Tensor) -> Tensor:
        """Return the tensor with its fixed units replaced."""
        missing = tensor.dim() - self.value.dim()
        if missing < 0:
            return tensor
        shapes = zip(self.value.shape, tensor.shape[missing:], strict=True)
        if any(own not in (1, other) for own, other in shapes):
            return tensor
        return torch.where(self.chosen, self.value.to(tensor.dtype), tensor)


class HeldDirection(nn.Module):
    """A direction along which all samples are moved to a given point.

    `t - (t - mean) read write^T` with `read^T write = 1`, for the numbers `t` of each sample. What
    `read` says of a sample is then what it says of the point, and the rest changes as little as
    `write` allows. A tensor of another size stays as it is.

    Args:
        mean: The point `(D,)`.
        read: What is held is the sum of the numbers with these weights `(D,)`.
        write: The change `(D,)` of the numbers for each unit of that sum.
        axis: The axis of the samples.
    """

    mean: Tensor
    read: Tensor
    write: Tensor

    def __init__(self, mean: Tensor, read: Tensor, write: Tensor, axis: int = 0) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("read", read), ("write", write)):
            self.register_buffer(name, values.clone(), persistent=False)
        self.axis = axis

    def forward(self, tensor: Tensor) -> Tensor:
        """Return the tensor with the direction held."""
        if tensor.dim() <= self.axis or not tensor.numel() or not tensor.is_floating_point():
            return tensor
        rows = tensor.movedim(self.axis, 0)
        if rows[0].numel() != len(self.mean):
            return tensor
        numbers = rows.reshape(len(rows), -1)
        along = (numbers - self.mean.to(numbers)) @ self.read.to(numbers)
        held = numbers - along.unsqueeze(1) * self.write.to(numbers)
        return held.reshape(rows.shape).movedim(0, self.axis)


class HeldAsBefore(nn.Module):
    """A tensor that is replaced by an earlier one, or by numbers of it at regular steps.

    A tensor of another size stays as it is.

    Args:
        source: Number of the call that returns the earlier tensor; `INPUTS` are the inputs.
        start: The first number of each sample that is taken.
        step: The step from one number to the next.
        axes: The axis of the samples, of the earlier tensor and of the replaced one.
    """

    def __init__(self, source: int, start: int, step: int, axes: tuple[int, int]) -> None:
        super().__init__()
        self.source, self.start, self.step, self.axes = source, start, step, axes

    def forward(self, tensor: Tensor, earlier: Tensor | None) -> Tensor:
        """Return what takes the tensor's place."""
        before, after = self.axes
        if earlier is None or earlier.dim() <= before or tensor.dim() <= after:
            return tensor
        rows = tensor.movedim(after, 0)
        known = earlier.movedim(before, 0)
        if not rows.numel() or len(known) != len(rows):
            return tensor
        numbers = known.reshape(len(known), -1)
        size = rows[0].numel()
        taken = numbers[:, self.start : self.start + self.step * (size - 1) + 1 : self.step]
        if numbers.shape[1] % size or taken.shape[1] != size:
            return tensor
        return taken.to(rows.dtype).reshape(rows.shape).movedim(0, after)


INPUTS = -1
"""The number that stands for the network's inputs, which no call returns."""
Held = HeldUnits | HeldDirection | HeldAsBefore
