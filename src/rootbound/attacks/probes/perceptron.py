"""A small network on frozen features: what no linear head can read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.base import Snapshot
from rootbound.attacks.budget import Attacker
from rootbound.attacks.probes.coordinates import (
    Coordinates,
    CoordinatesName,
    find_supported_coordinates,
    random_rotation,
)
from rootbound.attacks.probes.probe import Probe
from rootbound.attacks.tuning.optimisers import Update
from rootbound.core.fields import PositiveFloat, PositiveInt
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.training import seeded


@dataclass(frozen=True)
class PerceptronProbe(Probe):
    """Train two layers with AdamW; the learning rate falls along half a cosine.

    Whitened coordinates are unique up to a rotation, but AdamW treats each one by itself. So they
    are rotated at random: a defence cannot choose coordinates in which AdamW is slow.

    Args:
        hidden: Units between the layers.
        learning_rate: The learning rate at the start.
        batch_size: Samples in a step.
        coordinates: Coordinates of the features: `standardised`, or `whitened` where there are more
            samples than features.
    """

    hidden: PositiveInt = 256
    learning_rate: PositiveFloat = 3e-3
    batch_size: PositiveInt = 256
    coordinates: CoordinatesName = "whitened"

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the network after every step."""
        features = attacker.train.inputs
        coordinates = find_supported_coordinates(features, self.coordinates)
        width = coordinates.basis.shape[1]
        if coordinates.flops:  # they are whitened
            coordinates.basis = coordinates.basis @ random_rotation(width, attacker.generator)
        samples = Data(coordinates(features).float(), attacker.train.labels)
        with seeded(attacker.seed()):
            layers = nn.Sequential(
                nn.Linear(width, self.hidden), nn.ReLU(), nn.Linear(self.hidden, model.classes)
            )
        network = _Network(coordinates, layers)
        update = Update(list(layers.parameters()), "adamw", self.learning_rate, weight_decay=1e-2)
        batches = samples.batches(self.batch_size, attacker.steps, attacker.generator)
        for step, (inputs, labels) in enumerate(batches, start=1):
            factor = 0.5 * (1 + math.cos(math.pi * (step - 1) / attacker.steps))
            update(lambda: functional.cross_entropy(layers(inputs), labels), factor)  # noqa: B023
            yield Snapshot(step, network, flops=coordinates.flops)


class _Network(nn.Module):
    """Layers behind a change of coordinates in float64."""

    def __init__(self, coordinates: Coordinates, layers: nn.Module) -> None:
        super().__init__()
        self.coordinates, self.layers = coordinates, layers

    def forward(self, features: Tensor) -> Tensor:
        """Return logits `(N, C)`."""
        logits: Tensor = self.layers(self.coordinates(features).float())
        return logits
