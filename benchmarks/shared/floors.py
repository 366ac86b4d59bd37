"""Features of photographs learned without their labels: a floor of what any features are worth.

Each method learns features of the desirable images from another task, and then a last layer for the
desirable one. No defence that learns from these images can be expected to leave less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.data import Data, TaskPair
from rootbound.methods import Method
from rootbound.methods.base import learn
from rootbound.networks import Classifier
from rootbound.training import minimise

TURNS = 4
"""Quarter turns, which `Rotations` tells apart."""
REDUNDANCY = 5e-3
"""Weight of what two features of `TwoViews` share, as in the paper."""
GREY, NOISE = 0.3, 0.2
"""Share of views that are grey, and deviation of the noise that is added to scaled images."""


@dataclass(frozen=True)
class Rotations(Method):
    """Learn by how many quarter turns each desirable image was rotated.

    Source: S. Gidaris et al., "Unsupervised Representation Learning by Predicting Image
    Rotations", ICLR 2018, https://arxiv.org/abs/1803.07728. Differs from the paper: each image is
    seen in one rotation, not in all four, so that an epoch costs what it costs `Plain`.
    """

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Train the backbone on rotations, then the head alone."""
        data = tasks.desirable.train
        turns = torch.randint(TURNS, (len(data),), generator=generator).to(data.labels.device)
        rotated = torch.stack(
            [
                image.rot90(int(turn), (-2, -1))
                for image, turn in zip(data.inputs, turns, strict=True)
            ]
        )
        reader = Classifier(model.backbone, nn.Linear(model.head.in_features, TURNS))
        learn(reader, replace(data, inputs=rotated, labels=turns), self.recipe, generator,
              title="rotations")  # fmt: skip
        _learn_head(model, data, self, generator)


@dataclass(frozen=True)
class ShuffledLabels(Method):
    """Learn labels of the desirable images that were shuffled among them.

    Source: C. Zhang et al., "Understanding deep learning requires rethinking generalization", ICLR
    2017, https://arxiv.org/abs/1611.03530.
    """

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Train the backbone on shuffled labels, then the head alone."""
        data = tasks.desirable.train
        order = torch.randperm(len(data), generator=generator).to(data.labels.device)
        learn(model, replace(data, labels=data.labels[order]), self.recipe, generator,
              title="shuffled labels")  # fmt: skip
        _learn_head(model, data, self, generator)


@dataclass(frozen=True)
class TwoViews(Method):
    """Learn features in which two augmentations of a desirable image agree, and no two are alike.

    `sum_i (1 - C_ii)^2 + 0.005 sum_(i != j) C_ij^2`, where `C` is the correlation of features over
    a batch, between one view and the other.

    Source: J. Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction",
    ICML 2021, https://arxiv.org/abs/2103.03230, equation 1. Differs from the paper: a projector of
    one layer, and views that are shifted, mirrored, grey or noisy alone.
    """

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Train the backbone on pairs of views, then the head alone."""
        data, width = tasks.desirable.train, model.head.in_features
        reader = nn.Sequential(model.backbone, nn.Linear(width, 2 * width))
        steps = self.recipe.steps(len(data))
        minimise(
            reader,
            lambda batch, _: correlate(*(reader(self._view(batch[0], generator)) for _ in "12")),
            self.recipe.batches(data, steps, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="two views",
            changes=(),
        )
        _learn_head(model, data, self, generator)

    def _view(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return images that are shifted and mirrored anew, with noise, some of them grey."""
        changed = self.recipe.augmentation(inputs, generator)
        noise = torch.randn(changed.shape, generator=generator).to(changed)
        is_grey = (torch.rand(len(changed), 1, 1, 1, generator=generator) < GREY).to(changed.device)
        grey = changed.mean(1, keepdim=True).expand_as(changed)
        return torch.where(is_grey, grey, changed) + NOISE * noise


def correlate(first: Tensor, second: Tensor) -> Tensor:
    """Return the loss of `TwoViews`, given features `(N, features)` of two views."""
    normed = [functional.normalize(one - one.mean(0), dim=0, eps=1e-6) for one in (first, second)]
    correlation = normed[0].T @ normed[1]
    agreeing = correlation.diagonal()
    shared = correlation.square().sum() - agreeing.square().sum()
    return (1 - agreeing).square().sum() + REDUNDANCY * shared


def _learn_head(model: Classifier, data: Data, method: Method, generator: torch.Generator) -> None:
    model.backbone.requires_grad_(False)
    learn(model, data, method.recipe, generator, title="its last layer")
