"""A small network on frozen features: what no linear head can read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.base import Snapshot
from rootbound.attacks.budget import Attacker
from rootbound.attacks.probes.probe import Probe
from rootbound.attacks.probes.whitening import (
    Coordinates,
    coordinates,
    decomposition_flops,
    place,
    random_rotation,
    supported,
)
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.training import seeded


@dataclass(frozen=True)
class PerceptronProbe(Probe):
    """Train two layers by AdamW, the learning rate falling like half a cosine.

    Whitened coordinates are unique but for a rotation, and AdamW works on each by itself: they
    are turned at random, so that the frame which a linear map leaves behind hides nothing.

    Args:
        hidden: units between the layers.
        learning_rate: the first one.
        batch_size: samples a step.
        coordinates: of the features: `standardised`, or `whitened` where there are more samples
            than features.
    """

    hidden: int = 256
    learning_rate: float = 3e-3
    batch_size: int = 256
    coordinates: Coordinates = "whitened"

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the network after every step."""
        features = attacker.train.inputs
        kind = supported(self.coordinates, features)
        mean, basis = coordinates(features, kind)
        flops = 0.0
        if kind == "whitened":
            basis = basis @ random_rotation(basis.shape[1], attacker.generator)
            flops = decomposition_flops(features)
        placed = Data(place(features, mean, basis).float(), attacker.train.labels)
        width = placed.inputs.shape[1]
        with seeded(attacker.seed()):
            layers = nn.Sequential(
                nn.Linear(width, self.hidden), nn.ReLU(), nn.Linear(self.hidden, model.classes)
            )
        network = _Placed(mean, basis, layers)
        optimiser = torch.optim.AdamW(layers.parameters(), self.learning_rate, fused=True)
        batches = placed.batches(self.batch_size, attacker.steps, attacker.generator)
        for step, (inputs, labels) in enumerate(batches, start=1):
            progress = (step - 1) / attacker.steps
            optimiser.param_groups[0]["lr"] = (
                self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
            )
            optimiser.zero_grad(set_to_none=True)
            functional.cross_entropy(layers(inputs), labels).backward()
            optimiser.step()
            yield Snapshot(step, network, flops=flops)


class _Placed(nn.Module):
    """A network behind a change of coordinates in float64."""

    mean: Tensor
    basis: Tensor

    def __init__(self, mean: Tensor, basis: Tensor, layers: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("basis", basis)
        self.layers = layers

    def forward(self, features: Tensor) -> Tensor:
        """Return logits `(N, C)`."""
        logits: Tensor = self.layers(place(features, self.mean, self.basis).float())
        return logits
