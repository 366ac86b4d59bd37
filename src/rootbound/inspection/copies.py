"""Whether copies of a network are the same network: every attacker works on a copy."""

from __future__ import annotations

import copy

import torch

from rootbound.data import Data
from rootbound.inspection.behaviour import OTHERWISE
from rootbound.networks import Classifier
from rootbound.training import predict

SAMPLES = 64
"""Most inputs of a task that are used."""
GENERATIONS = 2
"""A copy of a copy is checked, too: attackers copy more than once."""


def measure_copies(given: Classifier, data: Data) -> dict[str, float]:
    """Return the share of inputs with different outputs from a copy of the network.

    A copy that shares weights with the network counts as different for all inputs: training it
    would change the network. Nothing is returned if outputs change from call to call.

    Args:
        given: The network itself, not a copy; it is not changed.
        data: Inputs of one task.
    """
    some = data.subset(SAMPLES)
    usual, again = (predict(given, some).clone().nan_to_num() for _ in range(2))
    if not torch.equal(usual, again):
        return {}
    least = OTHERWISE * float(usual.std(0).max()) if len(usual) > 1 else 0.0
    own = {weight.data_ptr() for weight in given.parameters() if weight.numel()}
    share, copied = 0.0, given
    for _ in range(GENERATIONS):
        copied = copy.deepcopy(copied)
        if own & {weight.data_ptr() for weight in copied.parameters()}:
            return {"other_in_copies": 1.0}
        outputs = predict(copied, some).nan_to_num()
        close = torch.isclose(usual, outputs, rtol=OTHERWISE, atol=least).all(1)
        share = max(share, float((~close).float().mean()))
    return {"other_in_copies": share}
