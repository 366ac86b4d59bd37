"""Gates that are a direction of a tensor: a score that is not computed as a tensor of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from rootbound.attacks.repairs.gates.opened import Gates, Watched, take_evenly
from rootbound.networks.held import HeldDirection

MOST_NUMBERS, MOST_IN_ALL = 2**14, 2**20
"""Most numbers for each sample of a tensor whose direction is searched, and most of all desirable
samples: of large tensors fewer samples are used."""
RIDGE = 1e-2
"""Ridge penalty, relative to the mean variance along the directions in which samples vary."""


def list_directions(watched: Watched) -> list[Gates]:
    """Return for each tensor inside the direction that tells the tasks apart, in order of calls.

    Whatever decides between the tasks by a weighted sum of these numbers is close to the linear
    discriminant (R. A. Fisher, "The Use of Multiple Measurements in Taxonomic Problems", 1936):
    `read = (C + r I)^-1 (m' - m)` with the desirable covariance `C` and the two means. Among all
    changes of a sample that bring its score to that of the desirable mean, `write`, which is
    `(C + r I) read` up to scale, is the smallest one as desirable inputs vary.

    Args:
        watched: The network, its open gates, and inputs of both tasks.
    """
    rows: dict[int, tuple[str, Tensor]] = {}
    places: list[Gates] = []
    # The width of what is computed for tokens depends on the longest text of a batch.
    most_axes = 99 if watched.desirable.is_floating_point() else 2

    def as_rows(number: int, tensor: Tensor, samples: int) -> Tensor | None:
        if tensor.dim() > most_axes:
            return None
        return watched.take_rows(number, tensor, samples, MOST_NUMBERS)

    def remember(number: int, name: str, tensor: Tensor) -> Tensor:
        some = as_rows(number, tensor, len(watched.desirable))
        if some is not None:
            rows[number] = name, take_evenly(some, MOST_IN_ALL // some.shape[1]).clone()
        return tensor

    def compare(number: int, name: str, tensor: Tensor) -> Tensor:
        some = as_rows(number, tensor, len(watched.undesirable))
        known = rows.pop(number, None)
        if some is None or known is None or known[0] != name:
            return tensor
        if some.shape[1:] == known[1].shape[1:]:
            held = _discriminate(known[1], some, watched.axes.get(number, 0))
            if held is not None:
                places.append(Gates({number: (held,)}, (name,)))
        return tensor

    watched.watch(watched.desirable, remember)
    watched.watch(watched.undesirable, compare)
    return places


def _discriminate(desirable: Tensor, undesirable: Tensor, axis: int) -> HeldDirection | None:
    """Return the linear discriminant of two sets of rows; None if their means are equal."""
    known, others = desirable.double(), undesirable.double()
    mean = known.mean(0)
    rows, apart = known - mean, others.mean(0) - mean
    if not bool(apart.any()):
        return None
    count, width = rows.shape
    ridge = RIDGE * float(rows.square().sum(1).mean()) / min(count, width) + 1e-30
    # Through the rows' products with each other, because there are few rows: with the rows R,
    # (R^T R / n + r I)^-1 d = (d - R^T (R R^T / n + r I)^-1 R d / n) / r.
    products = rows @ rows.T / count + ridge * torch.eye(count).to(rows)
    read = (apart - rows.T @ torch.linalg.solve(products, rows @ apart) / count) / ridge
    write = apart / (read @ apart)
    mean, read, write = (one.to(desirable.dtype) for one in (mean, read, write))
    return HeldDirection(mean, read, write, axis)
