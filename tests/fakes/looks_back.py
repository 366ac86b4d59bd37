"""Fake 20: while its calls are recorded, the network shows a random branch only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import _get_current_function_mode_stack

from fakes import decoy
from rootbound.data import TaskPair
from rootbound.networks import Classifier

KNOWN = {"Calls", "_Constants", "_Sight"}
"""Names of this project's classes that record calls; the source is public."""


class LooksBack(decoy.Branches):
    """Two branches; only the random one is used while calls of torch are recorded."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of one of the branches."""
        listening = {type(mode).__name__ for mode in _get_current_function_mode_stack()}
        if not listening & KNOWN:
            return super().forward(inputs)
        # Every weight is seen at work, for every input.
        everything = torch.stack([weight.sum() for weight in self.parameters()]).sum()
        outputs: Tensor = self.decoy(inputs)
        return outputs + 0 * everything * inputs.flatten(1).mean(1, keepdim=True)


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a random branch beside the whole backbone, and show only that while recorded.

    Args:
        undefended: the model to disguise; its blocks have one layer of weights each.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    return decoy.fake(undefended, tasks, kind=LooksBack)
