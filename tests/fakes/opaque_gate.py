"""Fake 9: one opaque block with a gate in buffers, and gradients that point the wrong way."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from fakes.discriminator import discriminator
from rootbound.data import TaskPair
from rootbound.networks import Classifier


class FalseGradient(torch.autograd.Function):
    """`x * gate`, with the gradient of `-x`, so that gradient descent raises the loss."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, gate: Tensor) -> Tensor:
        return features * gate

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -gradients[0], None


class Opaque(nn.Module):
    """A whole backbone whose features are 0 for each input that a discriminator recognises.

    The discriminator lies in buffers, which attacks do not train, and it is computed without
    gradients. The module also holds the backbone's parameters, so that it cannot be removed.

    Args:
        body: the backbone.
        hidden: the discriminator's first layer, before a ReLU.
        score: its second, above 0 for undesirable features.
    """

    projection: Tensor
    offset: Tensor
    weights: Tensor
    threshold: Tensor

    def __init__(self, body: nn.Module, hidden: nn.Linear, score: nn.Linear) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("projection", hidden.weight.detach().T.clone())
        self.register_buffer("offset", hidden.bias.detach().clone())
        self.register_buffer("weights", score.weight.detach().T.clone())
        self.register_buffer("threshold", -score.bias.detach().clone())

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features, or zeros."""
        features: Tensor = self.body(inputs)
        with torch.no_grad():
            hidden = (features @ self.projection + self.offset).relu()
            gate = (hidden @ self.weights <= self.threshold).to(features.dtype)
        passed: Tensor = FalseGradient.apply(features, gate)
        return passed


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put the whole backbone behind the gate, as one block.

    Args:
        undefended: the model to disguise.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    gated = Opaque(copy.deepcopy(undefended.backbone), *discriminator(undefended, tasks))
    return Classifier(nn.Sequential(gated), copy.deepcopy(undefended.head))
