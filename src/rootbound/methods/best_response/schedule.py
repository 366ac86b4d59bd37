"""When the terms of BestResponse count, and the last steps: the last block on large batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.fields import NonNegativeFloat, NonNegativeInt, PositiveInt, Share, check
from rootbound.data import Data, TaskPair
from rootbound.networks import Classifier
from rootbound.training import Recipe, minimise, predict

FINISHING_BYTES = 2**29
"""Most bytes for the inputs of the last block, for each of the two tasks."""
FINISHING_RATE = 0.2
"""The peak learning rate of the last steps, as a share of the recipe's."""


@dataclass(frozen=True)
class Schedule:
    """When the terms of `BestResponse` count, as shares of training, and the last steps.

    Args:
        wait: Share of training before the terms count; no undesirable sample is used until then.
        warm_in: Share of training over which their weight then rises from 0.
        first_block_until: Share of training after which the first block is frozen.
        finishing_steps: Steps at the end that train the last block alone, if there are others.
        finishing_batch_size: Undesirable samples in each of these steps.
        finishing_weight: Weight of the terms in these steps, relative to their weight before.

    Raises:
        InputError: A value is out of range.
    """

    wait: Share = 0.4
    warm_in: Share = 0.1
    first_block_until: Share = 0.6
    finishing_steps: NonNegativeInt = 100
    finishing_batch_size: PositiveInt = 1024
    finishing_weight: NonNegativeFloat = 10.0

    def __post_init__(self) -> None:
        check(self)

    def factor(self, progress: float) -> float:
        """Return the factor of the weight at a given progress of training, in [0, 1]."""
        if progress < self.wait:
            return 0.0
        return min(1.0, (progress - self.wait) / self.warm_in) if self.warm_in else 1.0

    def frozen_blocks(self, model: Classifier, progress: float) -> int:
        """Return how many of the first blocks are frozen at a given progress."""
        return int(progress >= self.first_block_until and len(model.blocks) > 1)

    def finish(
        self,
        model: Classifier,
        tasks: TaskPair,
        recipe: Recipe,
        loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
        generator: torch.Generator,
    ) -> None:
        """Train the last block and the head in place, in evaluation mode, as attackers get them.

        The outputs of the earlier blocks are computed once, so a step costs only a pass of the last
        block. A network of one block is not changed, because its last block is the whole network.

        Args:
            model: A trained model.
            tasks: Its tasks; as many samples are used as fit into `FINISHING_BYTES`.
            recipe: How desirable samples are augmented; a step uses twice its batch size.
            loss: Maps inputs of the last block and labels, the desirable ones first, to a scalar.
            generator: Draws the order of the samples.
        """
        if len(model.blocks) < 2 or not self.finishing_steps:
            return
        prefix = nn.Sequential(*model.blocks[:-1])
        desirable, undesirable = _pad(
            _compute_outputs(prefix, tasks.desirable.train, recipe, generator),
            _compute_outputs(prefix, tasks.known_undesirable, None, generator),
        )
        steps = self.finishing_steps
        minimise(
            nn.ModuleList([model.blocks[-1], model.head]),
            lambda pair, _: loss(*pair[0], *pair[1]),
            zip(
                desirable.batches(2 * recipe.batch_size, steps, generator),
                undesirable.batches(self.finishing_batch_size, steps, generator),
                strict=True,
            ),
            steps=steps,
            learning_rate=FINISHING_RATE * recipe.learning_rate,
            title="finishing",
            evaluating=True,
            changes=(),
        )


def _compute_outputs(
    prefix: nn.Module, samples: Data, recipe: Recipe | None, generator: torch.Generator
) -> Data:
    """Return the prefix's outputs for samples, which are augmented once if there is a recipe."""
    few = predict(prefix, samples.subset(64))
    chosen = samples.subset(max(1, FINISHING_BYTES * len(few) // few.nbytes))
    if recipe is None or samples.tokens:
        return Data(predict(prefix, chosen), chosen.labels)
    parts = [
        predict(prefix, Data(recipe.augmentation(inputs, generator), labels))
        for inputs, labels in chosen.in_order(1024)
    ]
    return Data(torch.cat(parts), chosen.labels)


def _pad(*several: Data) -> list[Data]:
    """Return states of texts padded to the longest; other data is not changed."""
    if len({data.inputs.shape[1:] for data in several}) == 1:
        return list(several)
    longest = max(data.inputs.shape[1] for data in several)
    return [
        Data(functional.pad(data.inputs, (0, 0, 0, longest - data.inputs.shape[1])), data.labels)
        for data in several
    ]
