"""What an attacker may spend, and the samples that it holds."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn

from rootbound.core.fields import PositiveInt, check
from rootbound.data import Batch, Data
from rootbound.networks import Classifier

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Budget:
    """What the attacker may spend, the same for every arm.

    Args:
        labels: Labelled samples per class, validation included; None for all. With one label there
            is nothing to select by, so a fixed setting of the suite is used.
        steps: Optimiser steps.

    Raises:
        InputError: A value is too small.
    """

    labels: PositiveInt | None
    steps: PositiveInt

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, eq=False)
class Attacker:
    """What one attacker holds while it attacks one model.

    Args:
        train: Labelled samples of the undesirable task to learn from.
        steps: Optimiser steps that may be spent.
        generator: Generator for everything random; torch's global stream is seeded too.
        given_head: The last layer that the model came with.
        desirable: Labelled samples of the desirable task, in the model's own classes.
        unlabelled: More samples of the undesirable task; their labels are all 0.
        sibling: The same network trained without intervention, where the attacker has one.
        known: What trials have found out about the given network by these samples, and others need
            not find out again.
    """

    train: Data
    steps: int
    generator: torch.Generator
    given_head: nn.Linear | None = None
    desirable: Data | None = None
    unlabelled: Data | None = None
    sibling: Classifier | None = None
    known: dict[Hashable, Any] = field(default_factory=dict)

    def find_once(self, question: Hashable, find: Callable[[], Answer]) -> Answer:
        """Return what is known of the given network and these samples, or find it out.

        The first trial that asks bears the cost. Answers must not depend on chance, nor hold the
        network, of which every trial has a copy of its own.

        Args:
            question: Names the answer.
            find: Returns it.
        """
        if question not in self.known:
            self.known[question] = find()
        answer: Answer = self.known[question]
        return answer

    @property
    def desirable_classes(self) -> int:
        """For how many classes a head is to be that reads all desirable labels."""
        assert self.desirable is not None  # attacks say that they need it
        return int(self.desirable.labels.max()) + 1

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield a batch for each step."""
        return self.train.batches(size, self.steps, self.generator)

    def seed(self) -> int:
        """Draw a seed."""
        return int(torch.randint(2**31, (), generator=self.generator))
