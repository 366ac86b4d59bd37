"""What an attacker may spend, and the samples that it has."""

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
        known: What earlier trials found out about the given network with these samples.
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
        """Return a fact about the given network and these samples, computed at most once.

        The first trial that asks bears the cost. An answer must not depend on chance. It must not
        hold the network either, because every trial has a copy of its own.

        Args:
            question: Key of the answer.
            find: Computes the answer.
        """
        if question not in self.known:
            self.known[question] = find()
        answer: Answer = self.known[question]
        return answer

    @property
    def desirable_classes(self) -> int:
        """Number of classes of a head that covers all desirable labels."""
        assert self.desirable is not None  # attacks declare that they need it
        return int(self.desirable.labels.max()) + 1

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield a batch for each step."""
        return self.train.batches(size, self.steps, self.generator)

    def seed(self) -> int:
        """Draw a seed."""
        return int(torch.randint(2**31, (), generator=self.generator))
