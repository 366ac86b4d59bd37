"""What an attack is: a way to make models for the undesirable task out of a given one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import nn

from rootbound.data import Data
from rootbound.errors import InputError
from rootbound.models import Classifier


@dataclass(frozen=True)
class Budget:
    """What the attacker may spend, the same for every arm.

    Args:
        labels: labelled samples per class, at least 2, validation included; None for all.
        steps: optimiser steps, at least 1.

    Raises:
        InputError: a value is too small.
    """

    labels: int | None
    steps: int

    def __post_init__(self) -> None:
        if self.labels is not None and self.labels < 2:
            raise InputError(
                "at least 2 labels a class (one to learn from, one to select by)",
                str(self.labels),
                "raise the number of labels",
            )
        if self.steps < 1:
            raise InputError("at least 1 step", str(self.steps), "raise the number of steps")


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A model that an attack has made.

    Args:
        step: the attack's work so far, in optimiser steps.
        model: maps inputs `(N, *shape)` to logits `(N, C)`, or to `(N, T, C)` for T trials
            trained together.
        certificates: for each trial, numbers that prove how good it is.
    """

    step: int
    model: nn.Module
    certificates: tuple[dict[str, float], ...] = ()


@dataclass(frozen=True)
class Attack(ABC):
    """One setting of a way to repurpose a model: one trial. It never sees test data.

    Subclasses are frozen dataclasses and write `transfer`; the harness draws the labels,
    splits off the attacker's validation samples, and scores what `transfer` yields.
    """

    @property
    def family(self) -> str:
        """What is retrained, in words; trials of one family compete, selected on validation."""
        return type(self).__name__

    def trained_blocks(self, model: Classifier) -> int:
        """Return how many of the backbone's last blocks may change: all, unless overridden.

        The blocks before them are run once, and `transfer` is given their outputs.
        """
        return len(model.blocks)

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the attack makes sense for a model of this depth."""
        return self.trained_blocks(model) <= len(model.blocks)

    @property
    def bundle(self) -> Hashable:
        """Trials with equal bundles are run together, where their class can."""
        return self

    @abstractmethod
    def transfer(
        self, model: Classifier, train: Data, steps: int, generator: torch.Generator
    ) -> Iterator[Snapshot]:
        """Yield models for the undesirable task, best after every step.

        Args:
            model: the blocks that may change, with a fresh head; the attack owns it.
            train: the attacker's labelled samples, as the frozen blocks see them.
            steps: how many optimiser steps may be spent.
            generator: for everything random; torch's global stream is seeded too.
        """


@dataclass(frozen=True)
class StackedAttack(Attack):
    """An attack whose trials can be trained together, as one batch of computations."""

    @classmethod
    @abstractmethod
    def transfer_together(
        cls,
        trials: Sequence[Self],
        model: Classifier,
        train: Data,
        steps: int,
        generator: torch.Generator,
    ) -> Iterator[Snapshot]:
        """Yield snapshots whose models return logits `(N, T, C)`, a slice for each trial."""

    @final
    def transfer(
        self, model: Classifier, train: Data, steps: int, generator: torch.Generator
    ) -> Iterator[Snapshot]:
        """Yield snapshots of this trial alone."""
        return self.transfer_together([self], model, train, steps, generator)
