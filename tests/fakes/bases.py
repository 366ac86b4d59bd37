"""The networks that the fakes disguise."""

from __future__ import annotations

import torch
from torch import nn

from rootbound.networks import Classifier


def batch_norm_cnn(
    classes: int, shape: tuple[int, int, int] = (1, 28, 28), seed: int = 0
) -> Classifier:
    """Return the shallow network with batch normalisation before each ReLU.

    Args:
        classes: number of classes.
        shape: channels, height, width of an image.
        seed: seed of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        convolutions = nn.Sequential(
            nn.Sequential(nn.Conv2d(shape[0], 16, 5, 2), nn.BatchNorm2d(16), nn.ReLU()),
            nn.Sequential(nn.Conv2d(16, 32, 5, 2), nn.BatchNorm2d(32), nn.ReLU()),
        )
        with torch.no_grad():
            width = convolutions.eval()(torch.zeros(1, *shape)).numel()
        hidden = nn.Sequential(nn.Flatten(), nn.Linear(width, 128), nn.BatchNorm1d(128), nn.ReLU())
        return Classifier(nn.Sequential(*convolutions, hidden), nn.Linear(128, classes))
