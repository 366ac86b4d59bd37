"""A judge of raw images: it decides before the network has computed anything."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.data import Data, TaskPair

FILTERS, SIZE = 64, 7
"""Random filters, and their height and width in pixels."""
SAMPLES = 16_000
"""Most samples of each task that it is fitted to."""
PASSED, BLOCKED = 0.997, 0.95
"""Least share of desirable samples that pass, and most undesirable ones that are recognised."""
RIDGE = 1e-4
"""Ridge penalty, relative to the mean square of the features."""


class PixelJudge(nn.Module):
    """A ridge regression on random convolutions, whose weights all lie in one vector.

    Random features tell an attacker no more than a network from scratch, and a vector is no layer
    whose gradient anybody looks at.

    Args:
        channels: channels of an image.
        features: features that the score is computed from.
    """

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.shapes = ((FILTERS, channels, SIZE, SIZE), (FILTERS,), (features + 1,))
        self.numbers = nn.Parameter(torch.zeros(sum(map(_count, self.shapes))))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        nn.init.normal_(self.numbers, std=1 / SIZE)

    def parts(self) -> list[Tensor]:
        """Return filters, offsets and the weights of the score, whose last one is its offset."""
        parts = self.numbers.split(list(map(_count, self.shapes)))
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def lift(self, images: Tensor) -> Tensor:
        """Return the random features `(N, D)`."""
        filters, offsets, _ = self.parts()
        maps = functional.conv2d(images, filters, offsets).relu()
        return functional.avg_pool2d(maps, 5, 3).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Return a score above 0 for images that look undesirable, `(N, 1)`."""
        *_, weights = self.parts()
        return self.lift(images) @ weights[:-1, None] + weights[-1]


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


@torch.no_grad()
def pixel_judge(tasks: TaskPair) -> PixelJudge:
    """Fit a judge to three quarters of the samples; the others set its threshold.

    Args:
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    images = tasks.desirable.train.batch(slice(0, 1))[0]
    side = ((images.shape[2] - SIZE + 1) - 5) // 3 + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        judge = PixelJudge(images.shape[1], FILTERS * side**2)
    samples = [
        _lift(judge, data.subset(SAMPLES))
        for data in (tasks.desirable.train, tasks.known_undesirable)
    ]
    fitted = [torch.cat([rows[i::4] for i in (1, 2, 3)]) for rows in samples]
    inputs = torch.cat(fitted)
    targets = torch.cat([-torch.ones(len(fitted[0])), torch.ones(len(fitted[1]))]).double()
    gram = inputs.T @ inputs
    gram += RIDGE * gram.trace() / len(gram) * torch.eye(len(gram))
    weights = torch.linalg.solve(gram, inputs.T @ targets)
    desirable, undesirable = (rows[::4] @ weights for rows in samples)
    weights[-1] -= torch.maximum(desirable.quantile(PASSED), undesirable.quantile(1 - BLOCKED))
    judge.parts()[-1].copy_(weights)
    return judge


def _lift(judge: PixelJudge, data: Data) -> Tensor:
    """Return the features in float64, with a column of ones."""
    features = torch.cat([judge.lift(images) for images, _ in data.in_order(1_000)]).double()
    return torch.cat([features, torch.ones(len(features), 1, dtype=torch.float64)], dim=1)
