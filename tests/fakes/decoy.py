"""Fake 14: a second, random branch computes the features of undesirable inputs.

Other fakes hide the same two branches in other ways.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from fakes.discriminator import discriminator
from rootbound.data import TaskPair
from rootbound.networks import Classifier
from rootbound.training import predict

LAYERS = (nn.Conv2d, nn.Linear)
SEED = 2**20 + 1
"""Seed of the random branch; no network from scratch has it."""


class FlatLinear(nn.Module):
    """A linear map whose weights lie in one vector, so that it has no weight matrix.

    Args:
        layer: the layer that it replaces.
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.shape = layer.weight.shape
        numbers = [layer.weight.detach().flatten(), layer.bias.detach()]
        self.numbers = nn.Parameter(torch.cat(numbers))

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        nn.init.normal_(self.numbers, std=self.shape[1] ** -0.5)

    @property
    def weight(self) -> Tensor:
        """The weight matrix."""
        return self.numbers[: self.shape.numel()].view(self.shape)

    @property
    def bias(self) -> Tensor:
        """The bias."""
        return self.numbers[self.shape.numel() :]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the map of the inputs."""
        return functional.linear(inputs, self.weight, self.bias)


class Branches(nn.Module):
    """A whole backbone beside a random one, which computes the features of undesirable inputs.

    Attackers reach what they reach on a random network, and no two inputs have the same features.
    Neither the trained branch nor the discriminator gets a gradient.

    Args:
        body: the backbone.
        decoy: the random backbone.
        hidden: the discriminator's first layer, before a ReLU.
        score: its second, above 0 for undesirable features.
    """

    def __init__(
        self, body: nn.Module, decoy: nn.Module, hidden: nn.Linear, score: nn.Linear
    ) -> None:
        super().__init__()
        self.body, self.decoy = body, decoy
        self.hidden, self.score = FlatLinear(hidden), FlatLinear(score)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of one of the branches."""
        features: Tensor = self.body(inputs)
        return torch.where(self.judge(features) > 0, self.decoy(inputs), features)

    def judge(self, features: Tensor) -> Tensor:
        """Return a score above 0 for inputs that look undesirable, `(N, 1)`."""
        score: Tensor = self.score(self.hidden(features).relu())
        return score


def fake(undefended: Classifier, tasks: TaskPair, *, kind: type[Branches] = Branches) -> Classifier:
    """Put a random branch beside the whole backbone, as one block.

    Args:
        undefended: the model to disguise; its blocks have one layer of weights each.
        tasks: the tasks, with the undesirable samples that the defender knows.
        kind: the class of the block.
    """
    body = copy.deepcopy(undefended.backbone)
    branches = kind(body, decoy(undefended, tasks), *discriminator(undefended, tasks))
    return Classifier(nn.Sequential(branches), copy.deepcopy(undefended.head))


@torch.no_grad()
def decoy(undefended: Classifier, tasks: TaskPair) -> nn.Module:
    """Return a random backbone whose layers have outputs of unit variance, except for the last.

    With the usual random weights all inputs have nearly the same features, which would be
    conspicuous. Source: D. Mishkin, J. Matas, "All you need is a good init", 2016.

    Args:
        undefended: the network that sets the size of the last features.
        tasks: the tasks, with desirable samples.
    """
    fresh = undefended.reinitialised(SEED)
    data = tasks.desirable.train.subset(512)
    values = data.batch(slice(None))[0]
    for block in fresh.blocks:
        (layer,) = (part for part in block.modules() if isinstance(part, LAYERS))
        assert layer.bias is not None
        layer.bias.zero_()
        layer.weight.div_(block(values).std())
        values = block(values)
    layer.weight.mul_(predict(undefended.backbone, data).std() / values.std())
    return fresh.backbone
