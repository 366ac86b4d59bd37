"""Methods that may remove what is left of the head start on photographs, beside the defaults."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.shared.floors import Rotations, ShuffledLabels, TwoViews
from benchmarks.shared.photographs import list_published
from benchmarks.shared.settings import vary
from rootbound.core.fields import PositiveFloat, PositiveInt
from rootbound.data import Augmentation, Batch, TaskPair
from rootbound.methods import BestResponse, Method, Plain
from rootbound.methods.best_response.terms import block_outputs
from rootbound.methods.shared.batches import draw_pairs
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import pool_outputs
from rootbound.networks.layers import freeze_running_statistics
from rootbound.training import Recipe, minimise
from rootbound.training.explained_variance import explained_variance

TEMPERATURE = 0.1
"""Temperature of the cosines between features and a class's direction."""


@dataclass(frozen=True)
class Collapsed(Method):
    """Train features that collapse each class to a point; no undesirable sample is needed.

    Source: S. Kornblith et al., "Why Do Better Loss Functions Lead to Less Transferable Features?",
    NeurIPS 2021, https://arxiv.org/abs/2010.16402, for the squared loss and the cosines.

    Args:
        recipe: How long and how fast to train.
        loss: `squared` distance to K times the one-hot label; `cosine` between features and
            classes; or `every block`: the cross-entropy minus the mean over blocks of the share
            of the labels' variance that a linear head explains.
    """

    loss: Literal["squared", "cosine", "every block"] = "squared"

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend the loss on desirable samples."""
        data = tasks.desirable.train
        steps = self.recipe.steps(len(data))
        minimise(
            model,
            lambda batch, _: self._loss(model, *batch),
            self.recipe.batches(data, steps, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title=f"collapsed, {self.loss}",
            changes=(),
        )
        if self.loss == "cosine":
            with torch.no_grad():
                model.head.bias.zero_()
                model.head.weight.copy_(functional.normalize(model.head.weight, dim=1))

    def _loss(self, model: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
        outputs = list(block_outputs(model.blocks, inputs))
        features = outputs[-1]
        if self.loss == "squared":
            wanted = model.classes * functional.one_hot(labels, model.classes)
            return functional.mse_loss(model.head(features), wanted.to(features.dtype))
        if self.loss == "cosine":
            directions = functional.normalize(model.head.weight, dim=1)
            cosines = functional.normalize(features, dim=1) @ directions.T
            return functional.cross_entropy(cosines / TEMPERATURE, labels)
        explained = [
            explained_variance(pool_outputs(block, output), labels, 1e-2)
            for block, output in zip(model.blocks, outputs, strict=True)
        ]
        task = functional.cross_entropy(model.head(features), labels)
        return task - torch.stack(explained).mean()


@dataclass(frozen=True)
class Pinned(Method):
    """Hold the outputs of each block on undesirable samples at those of random weights.

    `CE(desirable) + weight / L * sum_l |h_l(u) - h_l^0(u)|^2 / var(h_l^0(u))`, a mean over places
    and channels, where `h^0` is the network before training. Where that is 0, probes of any kind
    read from the blocks what they read from random weights.

    Args:
        recipe: How long and how fast to train.
        weight: Weight of what all blocks together changed.
    """

    weight: PositiveFloat = 1.0

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend the loss beside a copy of the network as it is before training."""
        start = copy.deepcopy(model).requires_grad_(False).train()
        steps = self.recipe.steps(len(tasks.desirable.train))
        minimise(
            model,
            lambda pair, _: self._loss(model, start, *pair),
            draw_pairs(self.recipe, tasks, steps, self.recipe.batch_size, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="pinned",
            changes=(),
        )

    def _loss(
        self, model: Classifier, start: Classifier, desirable: Batch, undesirable: Batch
    ) -> Tensor:
        task = functional.cross_entropy(model(desirable[0]), desirable[1])
        with freeze_running_statistics(model), freeze_running_statistics(start):
            pairs = zip(
                block_outputs(model.blocks, undesirable[0]),
                block_outputs(start.blocks, undesirable[0]),
                strict=True,
            )
            changed = [
                (now - before).square().mean() / before.var().clamp_min(1e-8)
                for now, before in pairs
            ]
        return task + self.weight * torch.stack(changed).mean()


@dataclass(frozen=True)
class FirstBlocksRandom(Method):
    """Train as another method does, with the first blocks as they were drawn.

    Args:
        recipe: Not used; the other method has its own.
        blocks: How many of the first blocks keep their weights.
        method: The other method.
    """

    blocks: PositiveInt = 4
    method: Method = Plain()

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Freeze the blocks, and train the others."""
        for block in model.blocks[: self.blocks]:
            block.requires_grad_(False)
        self.method.train(model, tasks, generator)


@dataclass(frozen=True)
class Given(Method):
    """Train without intervention; then apply another method to the trained model.

    Args:
        recipe: How the given model is trained.
        method: The method that goes on from it.
    """

    method: Method = BestResponse()

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Train the given model, and go on from it."""
        Plain(self.recipe).train(model, tasks, generator)
        self.method.train(model, tasks, generator)


def list_ways(epochs: int) -> dict[str, Method]:
    """Return the ways and floors by name with the same recipe, and all methods beside them."""
    augmentation = Augmentation(shift=2, flip=True)
    recipe = Recipe(epochs, learning_rate=1e-2, augmentation=augmentation)
    plain, ours = Plain(recipe), BestResponse(recipe)
    untaught = replace(ours, undesirable_batch_size=256, undesirable_every=1, taught=0.0)
    tenth = replace(recipe, epochs=max(1, round(epochs / 10)))
    half = replace(ours, recipe=replace(recipe, epochs=max(1, round(epochs / 2))))
    half_in_fourths = replace(half, undesirable_every=4)
    return {
        **list_published(epochs, augmentation),
        "Plain": plain,
        "BestResponse": ours,
        "BestResponse for 1.5 points": replace(ours, max_desirable_drop=1.5),
        "weight 0.3": replace(ours, weight=0.3),
        "weight 0.5": replace(ours, weight=0.5),
        "untaught": untaught,
        "untaught, for 1.5 points": replace(untaught, max_desirable_drop=1.5),
        "untaught, weight 0.05": replace(untaught, weight=0.05),
        "untaught, depth weight 5": vary(untaught, depth_weight=5.0),
        "untaught, batches of 512": replace(untaught, undesirable_batch_size=512),
        "untaught, batches of 512 in every second step": replace(ours, taught=0.0),
        "taught, batches of 256": replace(untaught, taught=None),
        "a given model, in a tenth of its epochs": Given(recipe, replace(ours, recipe=tenth)),
        "a given model, in a tenth of its epochs, untaught": Given(
            recipe, replace(untaught, recipe=tenth)
        ),
        "a given model, in a tenth of its epochs, every fourth step": Given(
            recipe, replace(ours, recipe=tenth, undesirable_every=4)
        ),
        "a given model, in 0.3 of its epochs": Given(
            recipe, replace(ours, recipe=replace(recipe, epochs=max(1, round(0.3 * epochs))))
        ),
        "a given model, in half of its epochs": Given(recipe, half),
        "a given model, in half of its epochs, weight 0.3": Given(
            recipe, replace(half, weight=0.3)
        ),
        "a given model, in half of its epochs, every fourth step": Given(recipe, half_in_fourths),
        "a given model, in half of its epochs, every fourth step, weight 0.3": Given(
            recipe, replace(half_in_fourths, weight=0.3)
        ),
        "labels shuffled": ShuffledLabels(recipe),
        "rotations": Rotations(recipe),
        "two views": TwoViews(recipe),
        "collapse, squared loss": Collapsed(recipe, "squared"),
        "collapse, cosines": Collapsed(recipe, "cosine"),
        "collapse at every block": Collapsed(recipe, "every block"),
        "pinned": Pinned(recipe, 1.0),
        "pinned, weight 10": Pinned(recipe, 10.0),
        "first 4 blocks random": FirstBlocksRandom(recipe, 4, plain),
        "first 4 blocks random, untaught": FirstBlocksRandom(recipe, 4, untaught),
    }
