"""Networks that need a repair, and what the tests of repairs share."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rootbound.attacks import (
    Attack,
    Attacker,
    Repair,
    Snapshot,
)
from rootbound.data import Data, TaskPair
from rootbound.networks import Classifier, shallow_cnn
from rootbound.training import predict, seeded

SHAPE = (1, 16, 16)


class TinyGradient(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        constant = inputs.detach()
        return constant + 1e-9 * (inputs - constant)


class Trap(nn.Module):
    """Says NaN for about half of the inputs, with NaN for a gradient."""

    def forward(self, inputs: Tensor) -> Tensor:
        chosen = inputs.detach().flatten(1).sum(dim=1) > inputs.detach().sum() / len(inputs)
        passed = (~chosen).to(inputs.dtype).view(-1, *[1] * (inputs.dim() - 1))
        return inputs / passed * passed


class Pairwise(nn.Module):
    """Code of its own that changes the shape."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs[:, ::2] + inputs[:, 1::2]


class Holder(nn.Module):
    """Holds a weight that nobody can draw anew."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.weight * inputs.flatten(1)


def piece(model: Classifier, block: int, position: int) -> Any:
    """Return a part of a block, of whatever type it is."""
    return list(model.blocks[block].children())[position]


def plain_network() -> Classifier:
    return shallow_cnn(classes=3, shape=SHAPE, seed=0)


def unbalanced_network() -> Classifier:
    """Return a network whose layers are a million times too large or too small."""
    model = plain_network()
    with torch.no_grad():
        first, second, third = (piece(model, 0, 0), piece(model, 1, 0), piece(model, 2, 1))
        for value in first.parameters():
            value.mul_(1e6)
        second.weight.mul_(1e-12)
        second.bias.mul_(1e-6)
        third.weight.mul_(1e9)
        third.bias.mul_(1e3)
    return model


def normalised_network() -> Classifier:
    """Return a chain of grouped convolutions, pooling and batch normalisations."""
    norms = nn.BatchNorm2d(8), nn.BatchNorm1d(32)
    with seeded(0):
        first = nn.Sequential(nn.Conv2d(1, 8, 3), norms[0], nn.ReLU(inplace=True))
        second = nn.Sequential(nn.Conv2d(8, 8, 3, groups=2), nn.PReLU(8), nn.MaxPool2d(2))
        third = nn.Sequential(nn.Conv2d(8, 4, 3), nn.LeakyReLU(), nn.Flatten(), nn.Dropout(0.0))
        fourth = nn.Sequential(nn.Linear(64, 32), norms[1], nn.ReLU())
        model = Classifier(nn.Sequential(first, second, third, fourth), nn.Linear(32, 3))
        for norm in norms:
            for value in norm.state_dict().values():
                if value.is_floating_point():
                    value.uniform_(0.5, 1.5)
    return model


def linear_network(condition: float = 1e6) -> Classifier:
    """Return a network with ill-conditioned linear maps: two in a row, twice, and at the end."""
    with seeded(0):
        pair = nn.Sequential(nn.Conv2d(1, 8, 5, 2), nn.Conv2d(8, 6, 1), nn.ReLU(), nn.Flatten())
        first, second, last = nn.Linear(216, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        middle = nn.Sequential(first, nn.Identity(), second, nn.ReLU())
        model = Classifier(nn.Sequential(pair, middle, last), nn.Linear(32, 3))
        left, _, right = torch.linalg.svd(torch.randn(32, 32).double())
    matrix = left * torch.logspace(0, -math.log10(condition), 32).double() @ right
    with torch.no_grad():
        for layer, inverse in ((first, second), (last, model.head)):
            layer.weight.copy_(matrix @ layer.weight.double())
            layer.bias.copy_(matrix @ layer.bias.double())
            inverse.weight.copy_(inverse.weight.double() @ torch.linalg.inv(matrix))
    return model


def ill_conditioned_network() -> Classifier:
    """Return a network whose features go through a matrix of condition number 1e6."""
    model = plain_network()
    with seeded(0):
        left, _, right = torch.linalg.svd(torch.randn(128, 128))
        mixing = nn.Linear(128, 128)
    with torch.no_grad():
        mixing.weight.copy_(left * torch.logspace(0, -6, 128) @ right)
    return Classifier(nn.Sequential(*model.blocks, mixing), model.head)


@dataclass(frozen=True)
class Keep(Attack):
    """Yields the repaired network with the given head, and does nothing else."""

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        assert attacker.given_head is not None
        yield Snapshot(0, Classifier(model.backbone, attacker.given_head))


def attacker(tasks: TaskPair, model: Classifier, steps: int = 30, seed: int = 0) -> Attacker:
    return Attacker(
        tasks.undesirable.train,
        steps,
        torch.Generator().manual_seed(seed),
        given_head=model.head,
        desirable=tasks.desirable.train,
        unlabelled=tasks.undesirable.train,
    )


def repaired(repair: Repair, model: Classifier, tasks: TaskPair) -> Classifier:
    with seeded(0):
        return repair.repair(copy.deepcopy(model), attacker(tasks, model)).eval()


def logits(model: nn.Module, data: Data) -> Tensor:
    """Return what the stored weights say, computed in float64: rounding on the way is no change."""
    inputs = data.batch(slice(None))[0].double()
    with torch.no_grad():
        outputs: Tensor = copy.deepcopy(model).double().eval()(inputs)
    return outputs


def reached(attack: Attack, model: Classifier, tasks: TaskPair, steps: int = 30) -> float:
    """Return the accuracy on the undesirable task, 0 where outputs are not finite."""
    frozen, rest = attack.cut(model, tasks.undesirable.train)
    held = attacker(tasks, model, steps)
    if list(frozen.children()):
        features = predict(frozen, held.train).clone()
        held = replace(held, train=Data(features, held.train.labels))
    with seeded(0):
        *_, last = attack.transfer(rest.with_head(3, seed=1), held)
    test = tasks.undesirable.test
    found = predict(nn.Sequential(frozen, last.model), test)
    if not bool(torch.isfinite(found).all()):
        return 0.0
    return float((found.argmax(1) == test.labels).double().mean())


def ending_in(model: Classifier, part: nn.Module) -> Classifier:
    *first, last = copy.deepcopy(model).blocks
    return Classifier(nn.Sequential(*first, nn.Sequential(last, part)), copy.deepcopy(model.head))


def starting_with(part: nn.Module, model: Classifier) -> Classifier:
    first, *others = copy.deepcopy(model).blocks
    return Classifier(nn.Sequential(nn.Sequential(first, part), *others), copy.deepcopy(model.head))
