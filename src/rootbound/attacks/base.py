"""The base class of attacks: ways to turn a given model into one for the undesirable task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

from torch import nn

from rootbound.attacks.budget import Attacker
from rootbound.core.errors import InputError
from rootbound.core.fields import check
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.records import Tier


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A model that an attack has made.

    Args:
        step: The attack's work so far, in optimiser steps.
        model: Maps inputs `(N, *shape)` to logits `(N, C)`, or to `(N, T, C)` for T trials trained
            together.
        certificates: For each trial, numbers that prove how good it is.
        flops: Floating-point operations so far that torch does not count, of all trials together.
    """

    step: int
    model: nn.Module
    certificates: tuple[dict[str, float], ...] = ()
    flops: float = 0.0


@dataclass(frozen=True)
class Attack(ABC):
    """One setting of a way to repurpose a model: one trial. It never sees test data.

    Subclasses are frozen dataclasses and write `transfer`; the harness draws the labels,
    splits off the attacker's validation samples, and scores what `transfer` yields.
    """

    tier: ClassVar[Tier] = "fine-tuning"

    def __post_init__(self) -> None:
        check(self)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the attacker must have besides labels: `desirable`, `unlabelled`, `sibling`."""
        return ()

    @property
    def loads_compiler(self) -> bool:
        """Whether its optimiser may make torch load its compiler, which takes seconds."""
        return True

    @property
    def family(self) -> str:
        """What is retrained, in words; the best trial of a family is selected on validation."""
        return type(self).__name__

    def trained_blocks(self, model: Classifier) -> int:
        """Return how many of the backbone's last blocks may change: all, unless overridden."""
        return len(model.blocks)

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the attack makes sense for a model of this depth."""
        return self.trained_blocks(model) <= len(model.blocks)

    def cut_key(self, model: Classifier) -> Hashable:
        """Return a key that decides where `cut` cuts: equal keys mean equal frozen parts."""
        return self.trained_blocks(model)

    def cut(self, model: Classifier, samples: Data) -> tuple[nn.Module, Classifier]:
        """Return the part that stays frozen, and the rest with some head.

        The frozen part is run once; `transfer` gets its outputs and the rest.

        Args:
            model: The model under attack; it is not changed.
            samples: Samples of the kind that the model takes.
        """
        return model.split(self.trained_blocks(model))

    @property
    def bundle(self) -> Hashable:
        """Key of the trials that are run together, where their class can do that."""
        return self

    @abstractmethod
    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield models for the undesirable task, if possible after every step.

        Args:
            model: The part that may change, with a fresh head; the attack owns it.
            attacker: The outputs of the frozen part for the samples, and what may be spent.
        """


@dataclass(frozen=True)
class StackedAttack(Attack):
    """An attack whose trials can be trained together, as one batch of computations."""

    @classmethod
    @abstractmethod
    def transfer_together(
        cls, trials: Sequence[Self], model: Classifier, attacker: Attacker
    ) -> Iterator[Snapshot]:
        """Yield snapshots whose models return logits `(N, T, C)`, a slice for each trial."""

    @final
    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield snapshots of this trial alone."""
        return self.transfer_together([self], model, attacker)


def require_attacks(attacks: object, name: str) -> tuple[Attack, ...]:
    """Return the attacks of a list.

    Args:
        attacks: The list.
        name: Name of the argument, for the error.

    Raises:
        InputError: It is not a list, or holds something else.
    """
    given = list(attacks) if isinstance(attacks, Iterable) else []
    found = tuple(one for one in given if isinstance(one, Attack))
    if len(found) < len(given) or not isinstance(attacks, Iterable):
        got = repr(attacks) if isinstance(attacks, str) else type(attacks).__name__
        raise InputError(
            f"a list of attacks in {name}", got, "write for example [rb.attacks.FineTune()]"
        )
    return found
