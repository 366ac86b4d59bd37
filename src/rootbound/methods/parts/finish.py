"""The last steps of a training: the last block alone, on batches as large as they should be."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.data import Data, TaskPair
from rootbound.networks import Classifier
from rootbound.training import Recipe, minimise, predict

MEMORY = 2**29
"""Bytes that the inputs of the last block may take, of each of the two tasks."""
SHARE = 0.2
"""The peak learning rate, as a share of the recipe's."""


def finish(
    model: Classifier,
    tasks: TaskPair,
    recipe: Recipe,
    loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    *,
    steps: int,
    undesirable_batch_size: int,
    generator: torch.Generator,
) -> None:
    """Train the last block and the head in place, in evaluation mode, where attackers meet them.

    What the blocks before make of the samples is computed once, so that a step costs what the
    last block costs. A network of one block is left as it is: there each step would be one of
    the whole.

    Args:
        model: trained already.
        tasks: whose samples; as many as fit into `MEMORY`.
        recipe: how desirable samples are augmented, and how many a step, twice.
        loss: of inputs of the last block, their desirable labels, inputs of undesirable samples,
            and the labels of those.
        steps: how many.
        undesirable_batch_size: undesirable samples a step.
        generator: of the order.
    """
    if len(model.blocks) < 2 or not steps:
        return
    prefix = nn.Sequential(*model.blocks[:-1])
    desirable, undesirable = _as_long(
        _passed_on(prefix, tasks.desirable.train, recipe, generator),
        _passed_on(prefix, tasks.known_undesirable, None, generator),
    )
    minimise(
        nn.ModuleList([model.blocks[-1], model.head]),
        lambda pair, _: loss(*pair[0], *pair[1]),
        zip(
            desirable.batches(2 * recipe.batch_size, steps, generator),
            undesirable.batches(undesirable_batch_size, steps, generator),
            strict=True,
        ),
        steps=steps,
        learning_rate=SHARE * recipe.learning_rate,
        title="finishing",
        evaluating=True,
        changes=(),
    )


def _passed_on(
    prefix: nn.Module, samples: Data, recipe: Recipe | None, generator: torch.Generator
) -> Data:
    """Return what the prefix makes of samples, augmented once if there is a recipe."""
    few = predict(prefix, samples.subset(64))
    chosen = samples.subset(max(1, MEMORY * len(few) // few.nbytes))
    if recipe is None or samples.tokens:
        return Data(predict(prefix, chosen), chosen.labels)
    parts = [
        predict(prefix, Data(recipe.augmentation(inputs, generator), labels))
        for inputs, labels in chosen.in_order(1024)
    ]
    return Data(torch.cat(parts), chosen.labels)


def _as_long(*several: Data) -> list[Data]:
    """Return states of texts with room for the longest of them; anything else as it is."""
    sizes = {one.inputs.shape[1:] for one in several}
    if len(sizes) == 1:
        return list(several)
    longest = max(one.inputs.shape[1] for one in several)
    return [
        Data(functional.pad(one.inputs, (0, 0, 0, longest - one.inputs.shape[1])), one.labels)
        for one in several
    ]
