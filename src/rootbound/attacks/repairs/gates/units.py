"""Gates among the units of a tensor: they hardly vary over desirable inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from rootbound.attacks.repairs.gates.opened import Gates, Watched
from rootbound.networks.held import HeldUnits

FAR = 25.0
"""A unit may belong to a gate from this distance on: the mean square distance of undesirable inputs
from the mean of desirable ones, divided by the variance of the latter. For a whole tensor it is
`NEAR`."""
NEAR = 4.0
ROUNDING = 1e-6
"""Deviations below this share of a tensor's size are rounding errors."""


def list_units(watched: Watched) -> list[Gates]:
    """Return tensors and units of tensors that may be gates, the most suspicious first.

    Args:
        watched: The network, its open gates, and inputs of both tasks.
    """
    means: dict[int, tuple[str, Tensor, Tensor, float]] = {}
    places: list[tuple[float, Gates]] = []

    def remember(number: int, name: str, tensor: Tensor) -> Tensor:
        values = _as_rows(tensor, len(watched.desirable), watched.axes.get(number))
        if values is not None:
            mean = values.mean(0)
            variance = (values - mean).square().mean(0)
            means[number] = name, mean, variance, float(values.square().mean())
        return tensor

    def compare(number: int, name: str, tensor: Tensor) -> Tensor:
        values = _as_rows(tensor, len(watched.undesirable), watched.axes.get(number))
        if values is None or number not in means or means[number][0] != name:
            return tensor
        _, mean, variance, size = means[number]
        if mean.shape != values.shape[1:]:
            return tensor
        least = ROUNDING * max(size, 1e-30)
        distance = (values - mean).square().nan_to_num(1e30, 1e30, 1e30).mean(0)
        value = mean > 0.5 if tensor.dtype == torch.bool else mean.to(tensor.dtype)

        def add(ratio: float, units: Tensor) -> None:
            own = watched.axes.get(number)
            # All samples along the axis get the same values.
            held = (
                HeldUnits(value, units)
                if own is None
                else HeldUnits(value.unsqueeze(own), units.unsqueeze(own))
            )
            places.append((ratio, Gates({number: (held,)}, (name,))))

        ratio = float(distance.mean() / (variance.mean() + least))
        if ratio > NEAR:
            add(ratio, torch.ones_like(mean).bool())
        units = distance > FAR * (variance + least)
        if bool(units.any()) and not bool(units.all()):
            add(float(distance[units].mean() / (variance[units].mean() + least)), units)
        return tensor

    watched.watch(watched.desirable, remember)
    watched.watch(watched.undesirable, compare)
    places.sort(key=lambda place: -place[0])
    return [place for _, place in places]


def _as_rows(tensor: Tensor, samples: int, axis: int | None) -> Tensor | None:
    """Return a tensor as floats `(N, …)`, a row for each sample; None where that is impossible."""
    if tensor.dtype.is_complex or not tensor.numel():
        return None
    if axis is not None:
        return tensor.movedim(axis, 0).float() if tensor.shape[axis] == samples else None
    values = tensor.float()
    if tensor.dim() == 0:
        return values.view(1)
    if tensor.dim() < 2 and len(tensor) != samples:
        return None
    if len(tensor) % samples:
        return None
    # Texts have as many positions as words, so that each position counts as a row.
    return values.flatten(0, 1) if tensor.dim() == 3 else values
