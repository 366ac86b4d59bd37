"""Likeness: does a network with newly drawn weights have the given features? It should not."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.networks.freshness import ANOTHER_SEED
from rootbound.training import predict

AT_ONCE = 2048
"""Numbers of an input that are compared at once: all numbers of a long text need much memory."""
SAMPLES = 512
"""Most inputs that are used."""
INPUT = 1 - 1e-6
"""Squared correlation above which a unit equals an input."""


def measure_likeness(given: Classifier, data: Data) -> dict[str, float]:
    """Return how much of a network's features is left when its weights are drawn anew.

    Each unit is compared with the new unit of the largest squared correlation, so the order and the
    scale of units do not matter. Units that equal an input do not count, because every network may
    have them.

    Args:
        given: The network; it is not changed.
        data: Inputs; some of them are used.

    Returns:
        The mean squared correlation over units, weighted by their variance, in [0, 1], by its name
        in `MEASURES`; nothing if no unit varies.
    """
    part = data.subset(SAMPLES)
    drawn = given.reinitialised(ANOTHER_SEED)
    own, other = (_centre(predict(model.backbone, part)) for model in (given, drawn))
    if not own.shape[1]:
        return {}
    inputs = part.batch(slice(None))[0].flatten(1).split(AT_ONCE, dim=1)
    is_input = torch.stack([_find_largest(own, _centre(some)) > INPUT for some in inputs]).any(0)
    weights = own.square().sum(0) * ~is_input
    return {
        "likeness_to_given": float((_find_largest(own, other) * weights).sum() / own.square().sum())
    }


def _centre(values: Tensor) -> Tensor:
    """Return a column of mean 0 for each unit that varies and is finite."""
    columns = values.flatten(1).double()
    columns = columns[:, columns.isfinite().all(0)]
    columns = columns - columns.mean(0)
    sizes = columns.square().sum(0)
    return columns[:, sizes > 1e-18 * sizes.amax()] if len(sizes) else columns


def _find_largest(columns: Tensor, others: Tensor) -> Tensor:
    """Return each column's largest squared correlation with the others; 0 if there are none."""
    if not others.shape[1]:
        return columns.new_zeros(columns.shape[1])
    cosines = functional.normalize(columns, dim=0).T @ functional.normalize(others, dim=0)
    largest: Tensor = cosines.square().amax(1)
    return largest
