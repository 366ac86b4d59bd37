"""Fake 15: two branches whose calls of torch cannot be recorded."""

from __future__ import annotations

import torch
from torch import Tensor

from fakes import decoy
from rootbound.data import TaskPair
from rootbound.networks import Classifier


class OutOfSight(decoy.Branches):
    """Two branches that disable the recording of calls of torch."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of one of the branches."""
        with torch._C.DisableTorchFunction():
            return super().forward(inputs)


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a random branch beside the whole backbone, out of sight.

    Args:
        undefended: the model to disguise; its blocks have one layer of weights each.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    return decoy.fake(undefended, tasks, kind=OutOfSight)
