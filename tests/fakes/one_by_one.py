"""Fake 16: two branches get one input at a time, so no inner tensor has a row for each input."""

from __future__ import annotations

import torch
from torch import Tensor

from fakes import decoy
from rootbound.data import TaskPair
from rootbound.networks import Classifier


class OneByOne(decoy.Branches):
    """Two branches that get the inputs of a batch one after the other."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of one of the branches."""
        return torch.cat([super(OneByOne, self).forward(one) for one in inputs.split(1)])


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a random branch beside the whole backbone, for one input at a time.

    Args:
        undefended: the model to disguise; its blocks have one layer of weights each.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    return decoy.fake(undefended, tasks, kind=OneByOne)
