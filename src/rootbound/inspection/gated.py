"""Inner gates: what undesirable inputs gain while gates are held open."""

from __future__ import annotations

import torch
from torch import Tensor

from rootbound.attacks.repairs.gates import find_gates, measure_nearest
from rootbound.attacks.repairs.inside import (
    LEAST_GAIN,
    as_targets,
    explain,
    pool,
    pool_tokens,
    score_tensors,
)
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.training import predict

SAMPLES, LABELLED, KNOWN = 64, 128, 256
"""Most inputs of each task that are used to find what blocks inputs; most undesirable inputs that
are used with their labels, and most desirable ones beside them, to find what redirects inputs."""
CROWDED, WORTH_A_SEARCH = 0.2, 0.05
"""When to search for gates that block inputs. An input is crowded if the distance of its features
to the nearest others is below this fraction of the desirable median; a search is worth its time if
this share of inputs is crowded."""
LOST = 0.1
"""When to search for gates that redirect inputs: an inner tensor explains this much more of the
labels' variance than the last features do."""
RESTORED = 0.6
"""Least share of what the best inner tensor explains that the last features must explain with gates
open. What is hidden behind a gate comes back whole; in other networks, too, a direction may be in
the way, but little comes back."""


@torch.no_grad()
def measure_gates(model: Classifier, undesirable: Data, desirable: Data) -> dict[str, float]:
    """Return what is gained while gates are held open, which leaves desirable inputs alone.

    Args:
        model: The network in evaluation mode.
        undesirable: Inputs of the undesirable task, with their labels.
        desirable: Inputs of the desirable task.
    """
    few, known = (desirable.subset(most) for most in (SAMPLES, KNOWN))
    return {
        "shut_out": _measure_shut_out(model, undesirable.subset(SAMPLES), few),
        "sent_elsewhere": _measure_sent_elsewhere(model, undesirable.subset(LABELLED), known),
    }


def _measure_shut_out(model: Classifier, undesirable: Data, desirable: Data) -> float:
    """Return the share of undesirable inputs whose features differ only while a gate is open."""
    features = [
        _replace_not_finite(predict(model.backbone, data)) for data in (undesirable, desirable)
    ]
    distances = [measure_nearest(some) for some in features]
    crowded = (distances[0] < CROWDED * distances[1].median()).float().mean()
    if float(crowded) < WORTH_A_SEARCH:
        return 0.0
    known, others = (data.batch(slice(None))[0] for data in (desirable, undesirable))
    return find_gates(model, known, others).shut_out


def _measure_sent_elsewhere(model: Classifier, undesirable: Data, desirable: Data) -> float:
    """Return how much more of the labels' variance is explained while a gate is open."""
    inputs, labels = undesirable.batch(slice(None))
    targets = as_targets(labels)
    start = _measure_explained(model.features(inputs), targets)
    scores = score_tensors(
        model.backbone, inputs, labels, pool_tokens if undesirable.tokens else pool
    )
    inside = max(scores.values(), default=0.0)
    if inside < start + LOST:
        return 0.0

    def gain(closed: Tensor, opened: Tensor) -> float:
        # Without a least gain, chance alone would keep the search going.
        more = _measure_explained(opened, targets) - _measure_explained(closed, targets)
        return more - LEAST_GAIN

    gates = find_gates(model, desirable.batch(slice(None))[0], inputs, gain)
    opened = _measure_explained(gates.hold_open(model.backbone)(inputs), targets)
    return max(0.0, opened - start) if opened > RESTORED * inside else 0.0


def _measure_explained(features: Tensor, targets: Tensor) -> float:
    return max(0.0, explain(_replace_not_finite(features).double(), targets) or 0.0)


def _replace_not_finite(features: Tensor) -> Tensor:
    return features.nan_to_num(0.0, 0.0, 0.0).flatten(1)
