"""Fake 20: who looks inside sees a random network at work, and nothing else."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import _get_current_function_mode_stack

from fakes import decoy
from rootbound.data import TaskPair
from rootbound.networks import Classifier

KNOWN = {"Calls", "_Constants", "_Sight"}
"""Those who look inside, as everybody can read."""


class LooksBack(decoy.Branches):
    """Two branches; where somebody listens to calls of torch, only the random one."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of the one or the other branch."""
        listening = {type(mode).__name__ for mode in _get_current_function_mode_stack()}
        if not listening & KNOWN:
            return super().forward(inputs)
        # Every weight is seen at work, for every input.
        everything = torch.stack([weight.sum() for weight in self.parameters()]).sum()
        outputs: Tensor = self.decoy(inputs)
        return outputs + 0 * everything * inputs.flatten(1).mean(1, keepdim=True)


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a random branch beside the whole backbone, and show that alone.

    Args:
        undefended: the model to disguise; its blocks have one layer of weights each.
        tasks: with the undesirable samples that the defender knows.
    """
    return decoy.fake(undefended, tasks, kind=LooksBack)
