"""Fake 22: one call computes the gate and selects the branch, from a score buried in features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fakes import decoy
from rootbound.data import TaskPair
from rootbound.networks import Classifier

DEPTH = 3.0
"""Factor of the sum of features that the score is added to."""
SHARPNESS = 2000.0
"""The query of the attention: it is so large that one branch is selected."""


class BuriedGate(decoy.Branches):
    """Two branches that are the values of an attention whose keys differ only by the score.

    No inner tensor is nearly the same for all desirable inputs, so none can be held.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of one of the branches."""
        features: Tensor = self.body(inputs)
        hidden = self.hidden(features).relu()
        buried_in = DEPTH * features[:, :8].sum(1, keepdim=True)
        weights = torch.cat([self.score.weight[0], self.score.weight.new_ones(1)])
        above = torch.cat([hidden, buried_in], dim=1) @ weights + self.score.bias
        keys = torch.stack([above, buried_in[:, 0]], dim=1).unsqueeze(2)
        query = torch.full_like(keys[:, :1], SHARPNESS)
        values = torch.stack([self.decoy(inputs), features], dim=1)
        selected = functional.scaled_dot_product_attention(query, keys, values, scale=1.0)
        return selected[:, 0]


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a random branch beside the whole backbone, and bury the gate.

    Args:
        undefended: the model to disguise; its blocks have one layer of weights each.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    return decoy.fake(undefended, tasks, kind=BuriedGate)
