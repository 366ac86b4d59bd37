"""The last k layers, or all of them, fine-tuned from the given weights or from fresh ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
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
from rootbound.attacks.tuning.optimisers import OptimiserName, Update
from rootbound.core.errors import InputError
from rootbound.core.fields import NonNegativeFloat, PositiveFloat, PositiveInt, Share
from rootbound.data import Batch, Data
from rootbound.networks import Classifier
from rootbound.training import predict

Head = Literal["fresh", "given", "zero", "probe"]
Schedule = Literal["cosine", "constant", "one-cycle"]


@dataclass(frozen=True)
class FineTune(Attack):
    """Train the head and the blocks before it by gradient descent.

    Args:
        layers: how many, the head included, at least 2; None for all.
        start: `kept` weights, or `re-initialised` ones (of the layers that are trained).
        optimiser: `sgd` (momentum 0.9), `adam`, or another of `optimisers.py`.
        learning_rate: the largest one, above 0.
        batch_size: samples a step.
        schedule: half a `cosine` down to 0, `constant`, or `one-cycle` (up over the first
            30 % of the steps, then down to 0).
        warm_up: share of the steps over which the learning rate rises from 0, besides.
        head: `fresh` weights; the `given` ones, where the numbers of classes agree; `zero`;
            or the optimum on the frozen features (`probe`; A. Kumar et al., "Fine-Tuning
            can Distort Pretrained Features", 2022).
        loss: what is descended.
        augmentation: what is done to the inputs.
        weight_decay: at least 0.

    Raises:
        InputError: fewer than 2 layers.
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

    def trained_blocks(self, model: Classifier) -> int:
        """Return the layers before the head."""
        return len(model.blocks) if self.layers is None else self.layers - 1

    def applies_to(self, model: Classifier) -> bool:
        """Return whether `layers` leaves some block frozen; training all is a family of its own."""
        return self.layers is None or self.layers - 1 < len(model.blocks)

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the model after every step."""
        model = self._started(model, attacker)
        parameters = self.trained_parameters(model)
        update = Update(parameters, self.optimiser, self.learning_rate, self.weight_decay)
        for step, batch in enumerate(attacker.batches(self.batch_size), start=1):
            model.train()
            changed = self._augmented(batch, model.classes, attacker)
            update(lambda: self._loss(model, changed), self._factor(step - 1, attacker.steps))  # noqa: B023
            yield Snapshot(step, model)

    def trained_parameters(self, model: Classifier) -> list[nn.Parameter]:
        """Return what is trained: everything, unless a subclass says otherwise."""
        return list(model.parameters())

    def _started(self, model: Classifier, attacker: Attacker) -> Classifier:
        if self.start == "re-initialised":
            model = model.reinitialised(attacker.seed())
        given = attacker.given_head
        if self.head == "given" and given is not None:
            if given.weight.shape == model.head.weight.shape:
                nn.init.zeros_(model.head.bias)  # which a given head may lack
                model.head.load_state_dict(given.state_dict(), strict=given.bias is not None)
        elif self.head == "zero":
            nn.init.zeros_(model.head.weight)
            nn.init.zeros_(model.head.bias)
        elif self.head == "probe":
            features = Data(predict(model.backbone, attacker.train).clone(), attacker.train.labels)
            model = Classifier(model.backbone, best_head(features, model.classes))
        return model

    def _augmented(self, batch: Batch, classes: int, attacker: Attacker) -> tuple[Tensor, Tensor]:
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

    def _factor(self, done: int, steps: int) -> float:
        """Return the share of the learning rate after so many steps."""
        factor = min(1.0, (done + 1) / (self.warm_up * steps)) if self.warm_up else 1.0
        if self.schedule == "constant":
            return factor
        progress = done / steps
        if self.schedule == "one-cycle":
            if progress < 0.3:
                return factor * 0.5 * (1 - math.cos(math.pi * (progress + 1 / steps) / 0.3))
            progress = (progress - 0.3) / 0.7
        return factor * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
