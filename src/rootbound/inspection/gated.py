"""Gates inside: what undesirable inputs gain where a tensor is held as it is for desirable ones."""

from __future__ import annotations

import torch
from torch import Tensor

from rootbound.attacks.repairs.gates import find_gates, nearest
from rootbound.attacks.repairs.inside import (
    as_targets,
    explain,
    judge_tensors,
    pool,
    pool_tokens,
)
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.training import predict

SAMPLES, LABELLED = 64, 128
"""Inputs of each task that are looked at, at most, and such as are told apart by their labels."""
CROWDED, WORTH_A_SEARCH = 0.2, 0.05
"""Distance to the next features, over that of desirable ones, and share of inputs as near as that,
from which gates that shut inputs out are looked for."""
LOST = 0.1
"""Share of the labels' variance that is explained inside and by the last features no more, from
which gates are looked for that send inputs elsewhere."""


@torch.no_grad()
def measure_gates(model: Classifier, undesirable: Data, desirable: Data) -> dict[str, float]:
    """Return what is gained where tensors inside are held as they are for desirable inputs.

    Args:
        model: The network in evaluation mode.
        undesirable: Inputs of the undesirable task, with their labels.
        desirable: Inputs of the other.
    """
    known = desirable.subset(SAMPLES)
    return {
        "shut_out": _measure_shut_out(model, undesirable.subset(SAMPLES), known),
        "sent_elsewhere": _measure_sent_elsewhere(model, undesirable.subset(LABELLED), known),
    }


def _measure_shut_out(model: Classifier, undesirable: Data, desirable: Data) -> float:
    """Return the share of undesirable inputs whose features are only then unlike others'."""
    features = [_finite(predict(model.backbone, data)) for data in (undesirable, desirable)]
    distances = [nearest(some) for some in features]
    crowded = (distances[0] < CROWDED * distances[1].median()).float().mean()
    if float(crowded) < WORTH_A_SEARCH:
        return 0.0
    known, others = (data.batch(slice(None))[0] for data in (desirable, undesirable))
    return find_gates(model, known, others).shut_out


def _measure_sent_elsewhere(model: Classifier, undesirable: Data, desirable: Data) -> float:
    """Return how much more of the labels' variance the last features explain then."""
    inputs, labels = undesirable.batch(slice(None))
    targets = as_targets(labels)
    start = _explained(model.features(inputs), targets)
    scores = judge_tensors(
        model.backbone, inputs, labels, pool_tokens if undesirable.tokens else pool
    )
    if max(scores.values(), default=0.0) < start + LOST:
        return 0.0

    def gain(closed: Tensor, opened: Tensor) -> float:
        return _explained(opened, targets) - _explained(closed, targets)

    gates = find_gates(model, desirable.batch(slice(None))[0], inputs, gain)
    opened = _explained(gates.hold_open(model.backbone)(inputs), targets)
    return max(0.0, opened - start)


def _explained(features: Tensor, targets: Tensor) -> float:
    return max(0.0, explain(_finite(features).double(), targets) or 0.0)


def _finite(features: Tensor) -> Tensor:
    return features.nan_to_num(0.0, 0.0, 0.0).flatten(1)
