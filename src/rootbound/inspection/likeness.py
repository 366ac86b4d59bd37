"""Whether two networks have the same features: of the given one and of one drawn anew, never."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.networks.freshness import ANOTHER_SEED
from rootbound.training import predict

AT_ONCE = 2048
"""Numbers of an input that are looked at together: all of a long text would take much memory."""
SAMPLES = 512
"""Inputs that are looked at, at most."""
INPUT = 1 - 1e-6
"""Squared correlation from which a unit is an input."""


def measure_likeness(given: Classifier, data: Data) -> dict[str, float]:
    """Return how much of a network's features is left when its weights are drawn anew.

    Each unit has a squared correlation with the unit that it agrees with most: units in another
    order or of another size are the same. Units that are inputs as they are do not count: every
    network has those.

    Args:
        given: The network, which is left as it is.
        data: Inputs; a part of them is used.

    Returns:
        A mean over units, weighted by their variance, in [0, 1], by its name among the measures;
        nothing where no unit varies.
    """
    part = data.subset(SAMPLES)
    drawn = given.reinitialised(ANOTHER_SEED)
    own, other = (_centred(predict(model.backbone, part)) for model in (given, drawn))
    if not own.shape[1]:
        return {}
    inputs = part.batch(slice(None))[0].flatten(1).split(AT_ONCE, dim=1)
    is_input = torch.stack([_largest(own, _centred(some)) > INPUT for some in inputs]).any(0)
    weights = own.square().sum(0) * ~is_input
    return {"likeness_to_given": float((_largest(own, other) * weights).sum() / own.square().sum())}


def _centred(values: Tensor) -> Tensor:
    """Return a column of mean 0 for each unit that varies, where all of it is finite."""
    columns = values.flatten(1).double()
    columns = columns[:, columns.isfinite().all(0)]
    columns = columns - columns.mean(0)
    sizes = columns.square().sum(0)
    return columns[:, sizes > 1e-18 * sizes.amax()] if len(sizes) else columns


def _largest(columns: Tensor, others: Tensor) -> Tensor:
    """Return for each column its largest squared correlation with another; 0 without any."""
    if not others.shape[1]:
        return columns.new_zeros(columns.shape[1])
    cosines = functional.normalize(columns, dim=0).T @ functional.normalize(others, dim=0)
    largest: Tensor = cosines.square().amax(1)
    return largest
