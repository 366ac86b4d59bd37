"""Repairs by training: on the desirable task, on rotated images, on R2, or from a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import keep_at_rest, sample
from rootbound.attacks.repairs.repair import Repair
from rootbound.core.errors import InputError
from rootbound.core.fields import NonNegativeFloat, PositiveFloat, PositiveInt
from rootbound.data import Batch, Data
from rootbound.networks import Classifier
from rootbound.training import minimise
from rootbound.training.explained_variance import explained_variance

Item = TypeVar("Item")


class TrainingRepair(Repair):
    """A repair that trains, for steps that do not count against the budget."""

    loads_compiler: ClassVar[bool] = True

    steps: int
    learning_rate: float

    def train(
        self, network: nn.Module, loss: Callable[[Item, float], Tensor], batches: Iterable[Item]
    ) -> None:
        """Train a network in place by Adam under a one-cycle learning rate."""
        minimise(
            network,
            loss,
            batches,
            steps=self.steps,
            learning_rate=self.learning_rate,
            title=type(self).__name__,
        )


@dataclass(frozen=True)
class TuneOnDesirable(TrainingRepair):
    """Continue training the given network on its own task, with noise on the inputs.

    A defence is a point in weight space that is good for the task and bad for others; a few
    steps on the task alone lead away from it. Z. Hong et al., "Your Transferability Barrier
    is Fragile", 2024 (TransNTL). Differs from the paper: Gaussian noise only in place of many
    corruptions, no self-distillation, and Adam in place of sharpness-aware descent.

    Args:
        steps: Steps of Adam under a one-cycle learning rate, besides those of the budget.
        learning_rate: Peak learning rate.
        noise: Standard deviation of the noise, relative to that of each batch of inputs; tokens get
            none.
        batch_size: Samples in a step.
    """

    needs: ClassVar[tuple[str, ...]] = ("desirable",)

    steps: PositiveInt = 50
    learning_rate: PositiveFloat = 1e-3
    noise: NonNegativeFloat = 0.2
    batch_size: PositiveInt = 128

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network, head included, after training."""
        assert attacker.desirable is not None  # it is needed
        generator = attacker.generator
        if model.classes < attacker.desirable_classes:  # a public model's head, for another task
            model = model.with_head(attacker.desirable_classes, attacker.seed())

        def loss(batch: Batch, _: float) -> Tensor:
            inputs, labels = batch
            if inputs.is_floating_point():
                noise = torch.randn(inputs.shape, generator=generator) * inputs.std()
                inputs = inputs + self.noise * noise
            return functional.cross_entropy(model(inputs), labels)

        self.train(model, loss, attacker.desirable.batches(self.batch_size, self.steps, generator))
        return model


@dataclass(frozen=True)
class SelfSupervise(TrainingRepair):
    """Train the backbone to tell by how many quarter turns an unlabelled image was rotated.

    S. Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations",
    2018, section 2. Differs from the paper: each image is rotated once per step, at random.
    Images that are not square get half turns only. Where samples are not images, the network stays
    as it is.

    Args:
        steps: Steps of Adam under a one-cycle learning rate, besides those of the budget.
        learning_rate: Peak learning rate.
        batch_size: Images in a step.
    """

    needs: ClassVar[tuple[str, ...]] = ("unlabelled",)

    steps: PositiveInt = 50
    learning_rate: PositiveFloat = 1e-3
    batch_size: PositiveInt = 128

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the network is one for images."""
        return any(isinstance(part, nn.Conv2d) for part in model.backbone.modules())

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with a trained backbone; the given head is left alone."""
        assert attacker.unlabelled is not None  # it is needed
        shape = attacker.unlabelled.shape
        if len(shape) != 3:
            return model
        turns = 4 if shape[1] == shape[2] else 2
        learner = model.with_head(turns, attacker.seed())
        generator = attacker.generator

        def loss(batch: Batch, _: float) -> Tensor:
            inputs, _labels = batch
            turned = torch.randint(turns, (len(inputs),), generator=generator)
            return functional.cross_entropy(learner(rotate(inputs, turned, turns)), turned)

        batches = attacker.unlabelled.batches(self.batch_size, self.steps, generator)
        self.train(learner, loss, batches)
        return Classifier(learner.backbone, model.head)


def rotate(images: Tensor, turned: Tensor, turns: int) -> Tensor:
    """Return each image rotated `turned` times by a full turn divided by `turns`."""
    rotated = images.clone()
    for turn in range(1, turns):
        rotated[turned == turn] = images[turned == turn].rot90(turn * 4 // turns, dims=(2, 3))
    return rotated


@dataclass(frozen=True)
class SeparateClasses(TrainingRepair):
    """Train the backbone so that the optimal linear head explains as much as it can.

    Loss: `-R2(features)`, with `R2 = tr(C' (S + e I)^-1 C) / tr(Var Y)` over a batch (see
    `explained_variance`). It ascends what `BestResponse` descends, and needs no head: this is the
    attack that knows that method.

    Args:
        steps: Steps of Adam under a one-cycle learning rate, besides those of the budget.
        learning_rate: Peak learning rate.
        batch_size: Samples in a step; all of them if there are fewer.
        ridge: The ridge in e, relative to the mean variance of the features.
    """

    steps: PositiveInt = 60
    learning_rate: PositiveFloat = 3e-3
    batch_size: PositiveInt = 256
    ridge: PositiveFloat = 1e-2

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with another backbone and the head as it was."""

        def loss(batch: Batch, _: float) -> Tensor:
            return -explained_variance(model.features(batch[0]).flatten(1), batch[1], self.ridge)

        batches = attacker.train.batches(self.batch_size, self.steps, attacker.generator)
        self.train(model.backbone, loss, batches)
        return model


@dataclass(frozen=True)
class Distil(TrainingRepair):
    """Regress the given network's features with a network of fresh weights.

    Loss: `mean |student(x) - z(x) / s|^2` with z the given features and s their standard
    deviations, so that scale hides nothing. The student has other weights, without traps for
    gradients; the given head is multiplied by s to fit it. FitNets: A. Romero et al., 2015,
    equation 3. Differs from the paper: only the last features are copied, and the inputs are
    unlabelled undesirable ones, half of them desirable if the attacker has such.

    Args:
        steps: Steps of Adam under a one-cycle learning rate, besides those of the budget.
        learning_rate: Peak learning rate.
        batch_size: Inputs in a step.
    """

    needs: ClassVar[tuple[str, ...]] = ("unlabelled",)

    steps: PositiveInt = 100
    learning_rate: PositiveFloat = 4e-3
    batch_size: PositiveInt = 128

    def applies_to(self, model: Classifier) -> bool:
        """Return whether fresh weights can be drawn for every part."""
        try:
            model.reinitialised(0, len(model.blocks))
        except InputError:
            return False
        return True

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the student with the given head."""
        deviation = _measure_deviation(model, attacker)
        student = model.reinitialised(attacker.seed(), len(model.blocks))
        teacher = model.backbone.eval().requires_grad_(False)

        sources = _list_sources(attacker)
        size = max(1, self.batch_size // len(sources))
        streams = [data.batches(size, self.steps, attacker.generator) for data in sources]
        batches = (torch.cat([part[0] for part in parts]) for parts in zip(*streams, strict=True))

        def loss(inputs: Tensor, _: float) -> Tensor:
            wanted = _zero_where_not_finite(teacher(inputs)) / deviation
            return functional.mse_loss(student.backbone(inputs), wanted)

        self.train(student.backbone, loss, batches)
        with torch.no_grad():
            model.head.weight.mul_(deviation)
        return Classifier(student.backbone, model.head)


def _list_sources(attacker: Attacker) -> list[Data]:
    return [data for data in (attacker.unlabelled, attacker.desirable) if data is not None]


def _measure_deviation(model: Classifier, attacker: Attacker) -> Tensor:
    """Return the standard deviation `(D,)` of each feature, 1 where it is constant."""
    inputs = torch.cat([sample(data) for data in _list_sources(attacker)])
    with keep_at_rest(model):
        deviation = _zero_where_not_finite(model.backbone(inputs)).double().std(dim=0).float()
    return torch.where(deviation > 0, deviation, 1.0)


def _zero_where_not_finite(features: Tensor) -> Tensor:
    return torch.nan_to_num(features, 0.0, 0.0, 0.0)
