"""What a method is: a way to train a model that does one task and resists another."""

from __future__ import annotations

import contextlib
import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from rootbound.attacks import Attack
from rootbound.core.errors import InputError
from rootbound.core.fields import PositiveInt, check
from rootbound.data import Batch, Data, TaskPair
from rootbound.networks import Classifier
from rootbound.networks.compiled import compiled
from rootbound.networks.weights import weights_digest
from rootbound.training import Recipe, minimise, seeded
from rootbound.training.loop import check_finite
from rootbound.training.state import TrainingState, UnusableTrainingState

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method(ABC):
    """A way to train a defended model. Subclasses are frozen dataclasses and write `train`.

    Args:
        recipe: how long and how fast to train.
    """

    defends: ClassVar[bool] = True
    """False for the control without intervention."""
    changes_inputs: ClassVar[bool] = False
    """Whether it makes, changes or rebuilds inputs as numbers, which tokens of texts are not."""

    recipe: Recipe = Recipe()

    def __post_init__(self) -> None:
        check(self)

    @final
    def fit(
        self,
        model: Classifier,
        tasks: TaskPair,
        *,
        seed: int = 0,
        training_state: TrainingState | None = None,
    ) -> Classifier:
        """Return a trained copy of the model; the same seed gives the same weights.

        Args:
            model: where training starts from; it is left as it is.
            tasks: the desirable task and the undesirable samples the defender knows.
            seed: of everything random.
            training_state: where the training is saved, so that one that was killed goes on there,
                to the same weights on the same machine with as many threads.

        Raises:
            InputError: the model does not fit the desirable task.
            TrainingDiverged: weights became NaN or infinite.
        """
        if model.classes != len(tasks.desirable.classes):
            raise InputError(
                f"a head for {len(tasks.desirable.classes)} desirable classes",
                f"one for {model.classes}",
                "build the model with that many classes",
            )
        if self.changes_inputs and tasks.desirable.train.tokens:
            raise InputError(
                "images, or other samples of numbers",
                f"texts, for {type(self).__name__}",
                "choose another method: this one changes its inputs",
            )
        model.check_inputs(tasks.desirable.train.shape)
        try:
            fitted = self._fitted(model, tasks, seed, training_state)
        except UnusableTrainingState as reason:
            assert training_state is not None  # nothing else raises it
            log.info("%s: the training begins again", reason)
            training_state.clear()
            fitted = self._fitted(model, tasks, seed, training_state)
        check_finite(fitted)
        return fitted.eval().requires_grad_(True)

    def _fitted(
        self, model: Classifier, tasks: TaskPair, seed: int, training_state: TrainingState | None
    ) -> Classifier:
        fitted = copy.deepcopy(model)
        with (
            seeded(seed) as generator,
            self.recipe.computing(),
            contextlib.ExitStack() as stack,
        ):
            if self.recipe.compiled:
                stack.enter_context(compiled(fitted))
            if training_state is not None:
                training = self._training(model, tasks, seed)
                stack.enter_context(training_state.track(training, generator))
            self.train(fitted, tasks, generator)
        return fitted

    def _training(self, model: Classifier, tasks: TaskPair, seed: int) -> str:
        """Return text that differs when anything does that decides the weights."""
        data = (tasks.desirable.train, tasks.known_undesirable)
        parts = [
            f"{self!r} {seed} torch {torch.__version__} with {torch.get_num_threads()} threads",
            weights_digest(model.state_dict()),
            *(samples.digest for samples in data),
        ]
        return " ".join(parts)

    @abstractmethod
    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Train the model in place, drawing samples with the generator."""

    def adaptive_attacks(self) -> tuple[Attack, ...]:
        """Return the attacks that know this method; every arm meets them besides the suite's.

        Without any, a result of the method is not called verified.
        """
        return ()

    def for_epochs(self, epochs: int) -> Self:
        """Return the same method with another number of epochs."""
        return replace(self, recipe=replace(self.recipe, epochs=epochs))

    def in_precision(self, precision: str) -> Self:
        """Return the same method that trains in `float32` or `bfloat16`.

        Raises:
            InputError: another precision.
        """
        return replace(self, recipe=replace(self.recipe, precision=precision))

    def when_compiled(self) -> Self:
        """Return the same method that trains a network after `torch.compile`."""
        return replace(self, recipe=replace(self.recipe, compiled=True))


@dataclass(frozen=True)
class LossMethod(Method):
    """A method that is one loss of a desirable and an undesirable batch; the loop is given.

    Args:
        recipe: how long and how fast to train.
        undesirable_batch_size: undesirable samples a step.
    """

    undesirable_batch_size: PositiveInt = 128

    @abstractmethod
    def loss(
        self, model: Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        """Return the loss to descend; `progress` runs from 0 to 1 over training.

        It changes nothing but the gradients, and what the model itself counts along.
        """

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend `loss` on fresh pairs of batches."""
        steps = self.recipe.steps(len(tasks.desirable.train))
        minimise(
            model,
            lambda pair, progress: self.loss(model, *pair, progress),
            pairs(self.recipe, tasks, steps, self.undesirable_batch_size, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title=type(self).__name__,
            changes=(),
        )


def pairs(
    recipe: Recipe, tasks: TaskPair, steps: int, size: int, generator: torch.Generator
) -> Iterator[tuple[Batch, Batch]]:
    """Yield pairs of a desirable and an undesirable batch.

    Only the desirable side is augmented: what a network is made to lose of shifted images it
    loses less thoroughly of those as they are, which is what an attacker has.

    Args:
        recipe: how many desirable samples a step, and how they are augmented.
        tasks: whose samples.
        steps: how many pairs.
        size: of the undesirable batch.
        generator: of the order.
    """
    return zip(
        recipe.batches(tasks.desirable.train, steps, generator),
        tasks.known_undesirable.batches(size, steps, generator),
        strict=True,
    )


def union(
    first: Data, second: Data, size: int, steps: int, generator: torch.Generator
) -> Iterator[tuple[Batch, Batch]]:
    """Yield pairs of batches in the proportion of the data: epochs of the first are both's.

    Args:
        first: `size` samples of it a step.
        second: the corresponding share of it a step.
        size: of the first batch.
        steps: how many pairs.
        generator: of the order.
    """
    other = max(1, round(size * len(second) / len(first)))
    return zip(
        first.batches(size, steps, generator),
        second.batches(other, steps, generator),
        strict=True,
    )


def held_aside(data: Data, count: int, generator: torch.Generator) -> tuple[Data, Data]:
    """Return `count` samples drawn at random, half of them at most, and the others."""
    order = torch.randperm(len(data), generator=generator)
    count = min(count, len(data) // 2)
    return data.select(order[:count]), data.select(order[count:])
