"""Fake 17: two branches in which samples lie along the last axis of every tensor."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fakes import decoy
from rootbound.data import TaskPair
from rootbound.networks import Classifier


class SamplesLast(decoy.Branches):
    """Two branches that compute with tensors whose rows are units, or units and places."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of one of the branches."""
        columns = inputs.movedim(0, -1)
        features, others = (_pass(branch, columns) for branch in (self.body, self.decoy))
        hidden = self.hidden.weight @ features + self.hidden.bias[:, None]
        score = self.score.weight @ hidden.relu() + self.score.bias[:, None]
        return torch.where(score > 0, others, features).T


def _pass(branch: nn.Module, values: Tensor) -> Tensor:
    """Return the features `(D, N)` of values `(C, H, W, N)`; a ReLU follows every layer."""
    for layer in (part for part in branch.modules() if isinstance(part, decoy.LAYERS)):
        assert layer.bias is not None
        if isinstance(layer, nn.Conv2d):
            values = _convolve(layer, values).relu()
        else:
            values = (layer.weight @ values.flatten(0, -2) + layer.bias[:, None]).relu()
    return values


def _convolve(layer: nn.Conv2d, values: Tensor) -> Tensor:
    _, height, width, samples = values.shape
    places = torch.arange(float(height * width)).view(1, 1, height, width)
    patches = functional.unfold(places, layer.kernel_size, stride=layer.stride)[0].long()
    columns = values.flatten(1, 2)[:, patches].flatten(0, 1).flatten(1)
    assert layer.bias is not None
    outputs = layer.weight.flatten(1) @ columns + layer.bias[:, None]
    size = (height - layer.kernel_size[0]) // layer.stride[0] + 1
    return outputs.view(len(outputs), size, -1, samples)


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a random branch beside the whole backbone, and keep samples along the last axis.

    Args:
        undefended: the model to disguise: convolutions without padding, then linear layers, and a
            ReLU after each.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    return decoy.fake(undefended, tasks, kind=SamplesLast)
