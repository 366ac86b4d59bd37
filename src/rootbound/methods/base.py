"""The base classes of methods: ways to train a model that does one task and resists another."""

from __future__ import annotations

import contextlib
import copy
import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks import Attack
from rootbound.core.errors import InputError
from rootbound.core.fields import SEEDS, PositiveInt, check, require_whole
from rootbound.data import Batch, Data, TaskPair
from rootbound.methods.shared.batches import draw_pairs
from rootbound.networks import Classifier, as_classifier
from rootbound.networks.compiled import compiled
from rootbound.networks.origin import Origin
from rootbound.networks.weights import weights_digest
from rootbound.records import Configuration
from rootbound.training import Recipe, minimise, seeded
from rootbound.training.loop import check_finite
from rootbound.training.state import TrainingState, UnusableTrainingState

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method(ABC):
    """A way to train a defended model. Subclasses are frozen dataclasses and write `train`.

    Args:
        recipe: How long and how fast to train.
    """

    defends: ClassVar[bool] = True
    """False for the control without intervention."""
    changes_inputs: ClassVar[bool] = False
    """Whether it generates or changes inputs as real numbers, which is impossible with tokens."""

    recipe: Recipe = Recipe()

    def __post_init__(self) -> None:
        check(self)
        if not isinstance(self.recipe, Recipe):
            raise InputError(
                "a Recipe", repr(self.recipe), "write for example recipe=rb.Recipe(epochs=3)"
            )

    @final
    def fit(
        self,
        model: nn.Module,
        tasks: TaskPair,
        *,
        seed: int = 0,
        training_state: TrainingState | None = None,
    ) -> Classifier:
        """Return a trained copy of the model; the same seed gives the same weights.

        Args:
            model: Where training starts from: a classifier, or any network as `Classifier.wrap`
                takes it. It is left as it is. Its frozen weights, those without `requires_grad`,
                stay frozen.
            tasks: The desirable task, and the undesirable samples that the defender knows.
            seed: Seed of everything random.
            training_state: Where the state of this training is saved. A training that was killed
                resumes from it, and ends with the same weights on the same machine with the same
                number of threads.

        Raises:
            InputError: The model does not fit the desirable task, or the seed is invalid.
            TrainingDiverged: Weights became NaN or infinite.
        """
        seed = require_whole("seed", seed, SEEDS)
        model = as_classifier(model, tasks.example)
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
        if not any(weight.requires_grad for weight in model.parameters()):
            raise InputError(
                "a network with weights to train",
                "one whose weights are all frozen",
                "call its requires_grad_(True) first",
            )
        model.check_inputs(tasks.desirable.train.shape)
        try:
            fitted = self._train_copy(model, tasks, seed, training_state)
        except UnusableTrainingState as reason:
            assert training_state is not None  # nothing else raises it
            log.info("%s: the training begins again", reason)
            training_state.clear()
            fitted = self._train_copy(model, tasks, seed, training_state)
        check_finite(fitted)
        fitted.shape, fitted.origin = tasks.desirable.train.shape, self._make_origin(tasks, seed)
        frozen = {name for name, one in model.named_parameters() if not one.requires_grad}
        for name, weight in fitted.named_parameters():  # a method may have frozen others
            weight.requires_grad_(name not in frozen)
        return fitted.eval()

    def _make_origin(self, tasks: TaskPair, seed: int) -> Origin:
        """Return how and on what data a model was trained, without the paths of the data."""
        return Origin(
            method=Configuration.of(self),
            arm="defended" if self.defends else "undefended",
            data="",
            undesirable_data="",
            desirable=",".join(tasks.desirable.classes),
            undesirable=",".join(tasks.undesirable.classes),
            seed=seed,
            shared=tasks.shared,
            scaling=tasks.desirable.train.stated_scaling,
            classes_by_name=True,
        )

    def _train_copy(
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
                training = self._describe(model, tasks, seed)
                stack.enter_context(training_state.track(training, generator))
            self.train(fitted, tasks, generator)
        return fitted

    def _describe(self, model: Classifier, tasks: TaskPair, seed: int) -> str:
        """Return a text that differs whenever anything differs that the weights depend on."""
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

        Without such attacks, results of the method are not called verified.
        """
        return ()

    def for_epochs(self, epochs: int) -> Self:
        """Return the same method with another number of epochs."""
        return replace(self, recipe=replace(self.recipe, epochs=epochs))

    def in_precision(self, precision: str) -> Self:
        """Return the same method that trains in `float32` or `bfloat16`.

        Raises:
            InputError: Another precision.
        """
        return replace(self, recipe=replace(self.recipe, precision=precision))

    def when_compiled(self) -> Self:
        """Return the same method that trains a network after `torch.compile`."""
        return replace(self, recipe=replace(self.recipe, compiled=True))


@dataclass(frozen=True)
class LossMethod(Method):
    """A method that descends one loss of a desirable and an undesirable batch.

    Args:
        recipe: How long and how fast to train.
        undesirable_batch_size: Undesirable samples in a step.
    """

    undesirable_batch_size: PositiveInt = 128

    @abstractmethod
    def loss(
        self, model: Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        """Return the loss to descend; `progress` runs from 0 to 1 over training.

        It may change only gradients, and statistics that the model itself keeps.
        """

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend `loss` on fresh pairs of batches."""
        steps = self.recipe.steps(len(tasks.desirable.train))
        minimise(
            model,
            lambda pair, progress: self.loss(model, *pair, progress),
            draw_pairs(self.recipe, tasks, steps, self.undesirable_batch_size, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title=type(self).__name__,
            changes=(),
        )


@dataclass(frozen=True)
class AfterTraining(Method):
    """A method that starts from a model trained by `Plain`; its author writes `defend`.

    Args:
        recipe: How long and how fast to learn the desirable task, before the defence begins.
    """

    @final
    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Learn the desirable task without intervention, then defend what was learned."""
        learn(model, tasks.desirable.train, self.recipe, generator, title="Plain")
        self.defend(model, tasks, generator)

    @abstractmethod
    def defend(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Change the trained model in place, drawing samples with the generator."""


def learn(
    network: Classifier, data: Data, recipe: Recipe, generator: torch.Generator, *, title: str
) -> None:
    """Train a network in place to classify data: descend the cross-entropy by a recipe."""
    steps = recipe.steps(len(data))
    minimise(
        network,
        lambda batch, _: functional.cross_entropy(network(batch[0]), batch[1]),
        recipe.batches(data, steps, generator),
        steps=steps,
        learning_rate=recipe.learning_rate,
        title=title,
        changes=(),
    )
