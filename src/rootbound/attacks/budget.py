"""What an attacker may spend, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from rootbound.core.fields import PositiveInt, check
from rootbound.data import Batch, Data
from rootbound.networks import Classifier


@dataclass(frozen=True)
class Budget:
    """What the attacker may spend, the same for every arm.

    Args:
        labels: labelled samples per class, validation included; None for all. With one label
            there is nothing to select by: a suite's fixed setting is used.
        steps: optimiser steps, at least 1.

    Raises:
        InputError: a value is too small.
    """

    labels: PositiveInt | None
    steps: PositiveInt

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, eq=False)
class Attacker:
    """What one attacker holds while it attacks one model.

    Args:
        train: labelled samples of the undesirable task to learn from.
        steps: how many optimiser steps may be spent.
        generator: for everything random; torch's global stream is seeded too.
        given_head: the last layer that the model came with.
        desirable: labelled samples of the desirable task, in the model's own classes.
        unlabelled: more samples of the undesirable task, whose labels are all 0.
        sibling: the same network trained without intervention, where the attacker has one.
    """

    train: Data
    steps: int
    generator: torch.Generator
    given_head: nn.Linear | None = None
    desirable: Data | None = None
    unlabelled: Data | None = None
    sibling: Classifier | None = None

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield a batch for each step."""
        return self.train.batches(size, self.steps, self.generator)

    def seed(self) -> int:
        """Draw a seed."""
        return int(torch.randint(2**31, (), generator=self.generator))
