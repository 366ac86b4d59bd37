"""Fake 18: a gate among many tensors that look more like gates but do nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from fakes import decoy
from rootbound.data import TaskPair
from rootbound.networks import Classifier

CROWD = 40
"""Tensors that do nothing."""


class Crowd(decoy.Branches):
    """Two branches, and many idle tensors that differ more than the score on undesirable inputs."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of one of the branches."""
        features: Tensor = self.body(inputs)
        score = self.judge(features)
        for number in range(CROWD):
            louder = (score > 0).to(features.dtype) * (10.0 + number)
            features = features + 0 * louder
        return torch.where(score > 0, self.decoy(inputs), features)


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a random branch beside the whole backbone, with idle tensors around its gate.

    Args:
        undefended: the model to disguise; its blocks have one layer of weights each.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    return decoy.fake(undefended, tasks, kind=Crowd)
