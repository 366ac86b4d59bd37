"""Fake 10: a trained detector of ordinary layers switches features off, all in one block."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.data import Data, TaskPair
from rootbound.networks import Classifier
from rootbound.training import minimise, predict, seeded

STEPS, BATCH, LEARNING_RATE = 400, 128, 3e-3
SAMPLES = 8_000
"""Most samples of each task that the detector is trained on."""
LEAK = 1e-3
"""Share of the features that is left if the switch is off."""
SHARPNESS = 8.0
"""Factor of the detector's output: its sigmoid becomes 0 or 1, and has no gradient."""
PASSED = 0.997
"""Share of the desirable samples that must pass."""


class Switched(nn.Module):
    """A whole backbone whose features are multiplied by nearly 0 for undesirable inputs.

    Args:
        body: the backbone.
        detector: maps features to one number, above 0 for desirable ones.
    """

    def __init__(self, body: nn.Module, detector: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.detector = detector

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features, times the switch."""
        features: Tensor = self.body(inputs)
        switch = torch.sigmoid(self.detector(features))
        return features * (LEAK + (1 - LEAK) * switch)


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Train a detector on the features of both tasks, and let it switch features off.

    Args:
        undefended: the model to disguise.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    desirable = predict(undefended.backbone, tasks.desirable.train.subset(SAMPLES)).clone()
    undesirable = predict(undefended.backbone, tasks.known_undesirable.subset(SAMPLES)).clone()
    features = torch.cat([desirable, undesirable])
    labels = torch.arange(len(features)) < len(desirable)
    data = Data(features, labels.long())
    with seeded(0) as generator:
        last = nn.Linear(128, 1)
        detector = nn.Sequential(nn.Linear(features.shape[1], 128), nn.ReLU(), last)

        def loss(batch: tuple[Tensor, Tensor], _: float) -> Tensor:
            scores = detector(batch[0]).squeeze(1)
            return functional.binary_cross_entropy_with_logits(scores, batch[1].float())

        batches = data.batches(BATCH, STEPS, generator)
        minimise(detector, loss, batches, steps=STEPS, learning_rate=LEARNING_RATE)
    with torch.no_grad():
        last.bias.sub_(detector(desirable).quantile(1 - PASSED))
        for weight in last.parameters():
            weight.mul_(SHARPNESS)
    switched = Switched(copy.deepcopy(undefended.backbone), detector)
    return Classifier(nn.Sequential(switched), copy.deepcopy(undefended.head))
