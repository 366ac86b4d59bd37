"""Holding part of a tensor inside a network at a given value: units of it, or a direction."""

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


Held = HeldUnits | HeldDirection
