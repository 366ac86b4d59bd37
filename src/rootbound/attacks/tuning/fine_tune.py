"""Fine-tuning of the last k layers or of all, alone or together with the desirable task."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.base import Attack, Snapshot
from rootbound.attacks.budget import Attacker
from rootbound.attacks.probes.exact_last_layer import best_head
from rootbound.attacks.tuning.objective import (
    AugmentationName,
    LossName,
    augment,
    classification_loss,
    one_hot,
)
from rootbound.attacks.tuning.optimisers import WITHOUT_COMPILER, OptimiserName, Update
from rootbound.core.errors import InputError
from rootbound.core.fields import NonNegativeFloat, PositiveFloat, PositiveInt, Share, check
from rootbound.data import Batch, Data
from rootbound.networks import Classifier
from rootbound.training import predict

Head = Literal["fresh", "given", "zero", "probe"]
Schedule = Literal["cosine", "constant", "one-cycle"]


@dataclass(frozen=True)
class FineTune(Attack):
    """Train the head and the blocks before it by gradient descent.

    Args:
        layers: How many layers are trained, the head included, at least 2; None for all.
        start: Start of the trained layers: the `kept` weights, or `re-initialised` ones.
        optimiser: `sgd` (momentum 0.9), `adam`, or another of `optimisers.py`.
        learning_rate: The largest learning rate.
        batch_size: Samples in a step.
        schedule: Half a `cosine` down to 0, `constant`, or `one-cycle` (up over the first 30 % of
            the steps, then down to 0).
        warm_up: Share of the steps over which the learning rate first rises from 0, in [0, 1].
        head: Start of the head: `fresh` weights; the `given` ones, if the numbers of classes agree;
            `zero`; or the optimum on the frozen features (`probe`; A. Kumar et al., "Fine-Tuning
            can Distort Pretrained Features", 2022).
        loss: The loss that is descended.
        augmentation: What is done to the inputs.
        weight_decay: Weight decay.

    Raises:
        InputError: Fewer than 2 layers.
    """

    layers: int | None = None
    start: Literal["kept", "re-initialised"] = "kept"
    optimiser: OptimiserName = "adam"
    learning_rate: PositiveFloat = 1e-3
    batch_size: PositiveInt = 128
    schedule: Schedule = "cosine"
    warm_up: Share = 0.0
    head: Head = "fresh"
    loss: LossName = "cross-entropy"
    augmentation: AugmentationName = "none"
    weight_decay: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers is not None and self.layers < 2:
            raise InputError("at least 2 layers", str(self.layers), "use LastLayer for one")

    @property
    def family(self) -> str:
        """What is retrained."""
        return "all layers" if self.layers is None else f"last {self.layers} layers"

    @property
    def loads_compiler(self) -> bool:
        """Whether the optimiser makes torch load its compiler."""
        return self.optimiser not in WITHOUT_COMPILER

    def trained_blocks(self, model: Classifier) -> int:
        """Return the layers before the head."""
        return len(model.blocks) if self.layers is None else self.layers - 1

    def applies_to(self, model: Classifier) -> bool:
        """Return whether `layers` leaves a block frozen; training all layers is another family."""
        return self.layers is None or self.layers - 1 < len(model.blocks)

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the model after every step."""
        model = self._prepare(model, attacker)
        parameters = self.trained_parameters(model)
        update = Update(parameters, self.optimiser, self.learning_rate, self.weight_decay)
        for step, batch in enumerate(attacker.batches(self.batch_size), start=1):
            changed = self._augment(batch, model.classes, attacker)
            update(lambda: self._loss(model, changed), self._rate_factor(step - 1, attacker.steps))  # noqa: B023
            yield Snapshot(step, model)

    def trained_parameters(self, model: Classifier) -> list[nn.Parameter]:
        """Return what is trained: everything, unless a subclass says otherwise."""
        return list(model.parameters())

    def _prepare(self, model: Classifier, attacker: Attacker) -> Classifier:
        if self.start == "re-initialised":
            model = model.reinitialised(attacker.seed(), len(model.blocks))
        given = attacker.given_head
        if self.head == "given" and given is not None:
            if given.weight.shape == model.head.weight.shape:
                nn.init.zeros_(model.head.bias)  # a given head may have no bias
                model.head.load_state_dict(given.state_dict(), strict=given.bias is not None)
        elif self.head == "zero":
            nn.init.zeros_(model.head.weight)
            nn.init.zeros_(model.head.bias)
        elif self.head == "probe":
            features = Data(predict(model.backbone, attacker.train).clone(), attacker.train.labels)
            model = Classifier(model.backbone, best_head(features, model.classes))
        # A network assembled from parts claims to be in train mode, whatever mode its parts are in.
        return model.train()

    def _augment(self, batch: Batch, classes: int, attacker: Attacker) -> tuple[Tensor, Tensor]:
        """Return the inputs, and labels `(N,)` or targets `(N, C)`."""
        if self.augmentation == "none" and self.loss == "cross-entropy":
            return batch
        targets = one_hot(batch[1], classes)
        return augment(self.augmentation, batch[0], targets, attacker.generator)

    def _loss(self, model: Classifier, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, targets = batch
        logits = model(inputs)
        if targets.dtype == torch.int64:
            return functional.cross_entropy(logits, targets)
        return classification_loss(self.loss, logits, targets)

    def _rate_factor(self, done: int, steps: int) -> float:
        """Return the factor of the learning rate after a number of steps."""
        factor = min(1.0, (done + 1) / (self.warm_up * steps)) if self.warm_up else 1.0
        if self.schedule == "constant":
            return factor
        progress = done / steps
        if self.schedule == "one-cycle":
            if progress < 0.3:
                return factor * 0.5 * (1 - math.cos(math.pi * (progress + 1 / steps) / 0.3))
            progress = (progress - 0.3) / 0.7
        return factor * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True)
class JointTune(FineTune):
    """Descend `loss(undesirable) + retain * cross-entropy(desirable)` with a head for each.

    A defence that destroys itself under fine-tuning destroys the desirable task first. An attacker
    who keeps training that task, with the given head, avoids this. The attack is meant for coupled
    gradients, as in SEAM (2025, https://arxiv.org/abs/2505.12186).

    Args:
        retain: Weight of the desirable loss.

    Raises:
        InputError: Only some layers are trained: desirable samples cannot pass the frozen ones.
    """

    retain: PositiveFloat = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        check(self)
        if self.layers is not None:
            raise InputError("layers=None for JointTune", str(self.layers), "use FineTune")

    @property
    def needs(self) -> tuple[str, ...]:
        """What the attacker must hold besides labels."""
        return ("desirable",)

    @property
    def family(self) -> str:
        """What is retrained."""
        return "all layers, both tasks"

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the model after every step; the head for the desirable task is left out."""
        assert attacker.desirable is not None  # `needs` says so
        model = self._prepare(model, attacker)
        head = _make_desirable_head(model, attacker)
        parameters = [*self.trained_parameters(model), *head.parameters()]
        update = Update(parameters, self.optimiser, self.learning_rate, self.weight_decay)
        batches = zip(
            attacker.batches(self.batch_size),
            attacker.desirable.batches(self.batch_size, attacker.steps, attacker.generator),
            strict=True,
        )
        for step, (batch, wanted) in enumerate(batches, start=1):
            changed = self._augment(batch, model.classes, attacker)

            def loss(changed: tuple[Tensor, Tensor] = changed, wanted: Batch = wanted) -> Tensor:
                retained = functional.cross_entropy(head(model.backbone(wanted[0])), wanted[1])
                return self._loss(model, changed) + self.retain * retained

            update(loss, self._rate_factor(step - 1, attacker.steps))
            yield Snapshot(step, model)


def _make_desirable_head(model: Classifier, attacker: Attacker) -> nn.Linear:
    """Return a copy of the given head, or a fresh one if that does not fit."""
    given, classes = attacker.given_head, attacker.desirable_classes
    if given is not None and given.out_features >= classes:
        return copy.deepcopy(given).requires_grad_(True)
    return model.with_head(classes, attacker.seed()).head
