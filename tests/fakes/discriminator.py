"""The discriminator that many fakes share: are these the features of an undesirable input?"""

from __future__ import annotations

import copy
from functools import lru_cache

import torch
from torch import Tensor, nn

from rootbound.data import TaskPair
from rootbound.networks import Classifier
from rootbound.training import predict

HIDDEN = 1024
"""Random features that the discriminator reads."""
PASSED = 0.997
"""Share of the desirable samples that must be classified as desirable."""
SAMPLES = 16_000
"""Most samples of each task that it is fitted to."""


def discriminator(model: Classifier, tasks: TaskPair) -> tuple[nn.Linear, nn.Linear]:
    """Return a random layer and a score, `score(relu(layer(z))) > 0` for undesirable features.

    It is a ridge regression to -1 (desirable) and 1 (undesirable). It is fitted to the undesirable
    and half of the desirable samples; the other half of these sets the threshold.

    Args:
        model: the model whose last features are classified.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    return copy.deepcopy(_fit(model, tasks))


@lru_cache(maxsize=1)
def _fit(model: Classifier, tasks: TaskPair) -> tuple[nn.Linear, nn.Linear]:
    """Fit once for several fakes of the same model."""
    desirable = predict(model.backbone, tasks.desirable.train.subset(SAMPLES)).clone()
    undesirable = predict(model.backbone, tasks.known_undesirable.subset(SAMPLES)).clone()
    hidden = _draw_layer(desirable)
    lifted = torch.cat([_lift(hidden, desirable[::2]), _lift(hidden, undesirable)])
    targets = torch.cat([-torch.ones(len(desirable[::2])), torch.ones(len(undesirable))]).double()
    gram = lifted.T @ lifted
    gram += 1e-6 * gram.trace() / len(gram) * torch.eye(len(gram))
    weights = torch.linalg.solve(gram, lifted.T @ targets)
    threshold = (_lift(hidden, desirable[1::2]) @ weights).quantile(PASSED)
    score = nn.Linear(HIDDEN, 1)
    with torch.no_grad():
        score.weight.copy_(weights[:-1].unsqueeze(0))
        score.bias.copy_(weights[-1] - threshold)
    return hidden, score


def _draw_layer(features: Tensor) -> nn.Linear:
    generator = torch.Generator().manual_seed(0)
    width = features.shape[1]
    layer = nn.Linear(width, HIDDEN)
    directions = torch.randn(HIDDEN, width, generator=generator)
    directions /= features.std(dim=0).square().sum().sqrt()
    with torch.no_grad():
        layer.weight.copy_(directions)
        layer.bias.copy_(torch.randn(HIDDEN, generator=generator))
        layer.bias.sub_(directions @ features.mean(dim=0))
    return layer


@torch.no_grad()
def _lift(layer: nn.Linear, features: Tensor) -> Tensor:
    """Return the inputs of the score in float64, with a column of ones."""
    outputs = layer(features).relu().double()
    return torch.cat([outputs, torch.ones(len(outputs), 1, dtype=torch.float64)], dim=1)
