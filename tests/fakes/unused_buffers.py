"""Fake 13: the layers compute with buffers, and their parameters do nothing."""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn import functional

from fakes import ill_conditioned
from rootbound.data import TaskPair
from rootbound.networks import Classifier
from rootbound.training import seeded


class Decoy(nn.Module):
    """A linear map that computes with buffers, beside unused parameters of the same shapes.

    Args:
        layer: the layer that it replaces.
    """

    matrix: Tensor
    shift: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("matrix", layer.weight.detach().clone())
        self.register_buffer("shift", layer.bias.detach().clone())
        self.layer = nn.Linear(layer.in_features, layer.out_features)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the map of the inputs."""
        return functional.linear(inputs, self.matrix, self.shift)


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Shrink directions that the head does not read, by linear maps that cannot be trained.

    Args:
        undefended: the model to disguise.
        tasks: not used.
    """
    disguised = copy.deepcopy(ill_conditioned.fake(undefended, tasks))
    with seeded(0):
        for part in list(disguised.backbone.modules()):
            for name, layer in part.named_children():
                if type(layer) is nn.Linear:
                    setattr(part, name, Decoy(layer))
    return disguised
