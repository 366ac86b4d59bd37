"""Fake 6: gates that pass values unchanged but almost no gradient."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from rootbound.data import TaskPair
from rootbound.networks import Classifier

SHARE = 1e-8
"""Share of the gradient that a gate passes."""


class Gate(nn.Module):
    """`x`, whose derivative is `SHARE` instead of 1."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs."""
        constant = inputs.detach()
        return constant + SHARE * (inputs - constant)


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a gate at the end of every block.

    Args:
        undefended: the model to disguise.
        tasks: not used.
    """
    disguised = copy.deepcopy(undefended)
    gated = [nn.Sequential(block, Gate()) for block in disguised.blocks]
    return Classifier(nn.Sequential(*gated), disguised.head)
