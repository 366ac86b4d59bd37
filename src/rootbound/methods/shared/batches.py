"""Batches of both tasks, and samples that are held out."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from rootbound.data import Batch, Data, TaskPair
from rootbound.training import Recipe


def draw_pairs(
    recipe: Recipe, tasks: TaskPair, steps: int, size: int, generator: torch.Generator
) -> Iterator[tuple[Batch, Batch]]:
    """Yield pairs of a desirable and an undesirable batch.

    Only desirable samples are augmented. With augmented undesirable samples the network would
    unlearn the original ones, which the attacker has, less thoroughly.

    Args:
        recipe: Desirable samples in a step, and how they are augmented.
        tasks: The tasks whose samples are drawn.
        steps: How many pairs.
        size: Undesirable samples in a step.
        generator: Draws the order of the samples.
    """
    return zip(
        recipe.batches(tasks.desirable.train, steps, generator),
        tasks.known_undesirable.batches(size, steps, generator),
        strict=True,
    )


def draw_some_pairs(
    recipe: Recipe, tasks: TaskPair, steps: int, size: int, every: int, generator: torch.Generator
) -> Iterator[tuple[Batch, Batch | None]]:
    """Yield pairs as `draw_pairs` does, with an undesirable batch only in every `every` steps.

    Args:
        recipe: Desirable samples in a step, and how they are augmented.
        tasks: The tasks whose samples are drawn.
        steps: How many pairs.
        size: Undesirable samples in a step that has any.
        every: Number of steps from one undesirable batch to the next.
        generator: Draws the order of the samples.
    """
    others = tasks.known_undesirable.batches(size, math.ceil(steps / every), generator)
    for step, desirable in enumerate(recipe.batches(tasks.desirable.train, steps, generator)):
        yield desirable, None if step % every else next(others)


def draw_union(
    first: Data, second: Data, size: int, steps: int, generator: torch.Generator
) -> Iterator[tuple[Batch, Batch]]:
    """Yield pairs of batches in proportion to the data, so that both go through an epoch at once.

    Args:
        first: Data of which `size` samples are taken in a step.
        second: Data of which the corresponding share is taken in a step.
        size: Samples of the first batch.
        steps: How many pairs.
        generator: Draws the order of the samples.
    """
    other = max(1, round(size * len(second) / len(first)))
    return zip(
        first.batches(size, steps, generator),
        second.batches(other, steps, generator),
        strict=True,
    )


def hold_out(data: Data, count: int, generator: torch.Generator) -> tuple[Data, Data]:
    """Divide data at random into samples that are held out, and the others.

    Args:
        data: The samples.
        count: Number of samples to hold out; it is limited to half of them.
        generator: Draws the samples.
    """
    order = torch.randperm(len(data), generator=generator)
    count = min(count, len(data) // 2)
    return data.select(order[:count]), data.select(order[count:])
