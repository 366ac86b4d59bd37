"""Fake 23: one network for both tasks, and undesirable images reach it with scrambled pixels."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from fakes.pixel_judge import PixelJudge, pixel_judge
from rootbound.data import TaskPair
from rootbound.networks import Classifier

STEP = 331
"""The step from one pixel to the next after scrambling; it has no divisor in common with sizes of
images."""
SHARP, SOFT = 2000.0, 6.0
"""Queries of the attention. A large one selects one of two images, a small one mixes them."""


class SharedWeights(nn.Module):
    """A whole backbone behind a switch that scrambles images.

    All weights serve both tasks. No tensor holds what the backbone would compute of undesirable
    images, because the switch comes first. One call compares two keys and selects an image, and
    both keys vary over desirable images, so that neither can be held.

    Args:
        body: the backbone.
        judge: the judge of images.
        sharpness: the query.
    """

    def __init__(self, body: nn.Module, judge: PixelJudge, sharpness: float) -> None:
        super().__init__()
        self.body, self.judge, self.sharpness = body, judge, sharpness

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of the images, or of scrambled ones."""
        features: Tensor = self.body(self.select(images))
        return features

    def select(self, images: Tensor) -> Tensor:
        """Return each image as it is, or scrambled if it looks undesirable."""
        lifted = self.judge.lift(images)
        buried_in = lifted[:, :64].sum(1, keepdim=True)
        *_, weights = self.judge.parts()
        with_it = torch.cat([weights[:-1], weights.new_ones(1)])
        above = torch.cat([lifted, buried_in], dim=1) @ with_it + weights[-1]
        keys = torch.stack([above, buried_in[:, 0]], dim=1).unsqueeze(2)
        query = torch.full_like(keys[:, :1], self.sharpness)
        values = torch.stack([scramble(images).flatten(1), images.flatten(1)], dim=1)
        selected = functional.scaled_dot_product_attention(query, keys, values, scale=1.0)
        return selected[:, 0].view_as(images)


def scramble(images: Tensor) -> Tensor:
    """Return images whose pixels are in another order."""
    pixels = images.flatten(1)
    order = torch.arange(pixels.shape[1]) * STEP % pixels.shape[1]
    return pixels[:, order].view_as(images)


def fake(undefended: Classifier, tasks: TaskPair, *, sharpness: float = SHARP) -> Classifier:
    """Put a switch before the whole backbone, in one block with it.

    Args:
        undefended: the model to disguise.
        tasks: the tasks, with the undesirable samples that the defender knows.
        sharpness: how sharply the switch selects.
    """
    switched = SharedWeights(copy.deepcopy(undefended.backbone), pixel_judge(tasks), sharpness)
    return Classifier(nn.Sequential(switched), copy.deepcopy(undefended.head))
