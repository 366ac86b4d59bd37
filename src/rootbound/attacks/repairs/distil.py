"""A fresh network that has never been defended learns what the given one says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import at_rest, sample
from rootbound.attacks.repairs.repair import Repair
from rootbound.core.errors import InputError
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.training import minimise


@dataclass(frozen=True)
class Distil(Repair):
    """Regress the given network's features with a network of fresh weights.

    Loss: `mean |student(x) - z(x) / s|^2` with z the given features and s the deviation of
    each, so that scale hides nothing. The student stands on other weights, where traps for
    gradients are not; the given head is stretched by s to fit it. FitNets: A. Romero et al.,
    2015, equation 3. Differs from the paper: the last features only, and the inputs are
    unlabelled undesirable ones, half of them desirable where the attacker holds such.

    Args:
        steps: of Adam under a one-cycle learning rate, besides the budget's.
        learning_rate: the peak, above 0.
        batch_size: inputs a step.
    """

    needs: ClassVar[tuple[str, ...]] = ("unlabelled",)

    steps: int = 100
    learning_rate: float = 4e-3
    batch_size: int = 128

    def applies_to(self, model: Classifier) -> bool:
        """Return whether fresh weights can be drawn for every part."""
        try:
            model.reinitialised(0)
        except InputError:
            return False
        return True

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the student with the given head."""
        deviation = _deviation(model, attacker)
        student = model.reinitialised(attacker.seed())
        teacher = model.backbone.eval().requires_grad_(False)

        def loss(inputs: Tensor, _: float) -> Tensor:
            wanted = _finite(teacher(inputs)) / deviation
            return functional.mse_loss(student.backbone(inputs), wanted)

        minimise(
            student.backbone,
            loss,
            self._inputs(attacker),
            steps=self.steps,
            learning_rate=self.learning_rate,
            title=type(self).__name__,
        )
        with torch.no_grad():
            model.head.weight.mul_(deviation)
        return Classifier(student.backbone, model.head)

    def _inputs(self, attacker: Attacker) -> Iterator[Tensor]:
        sources = _sources(attacker)
        size = max(1, self.batch_size // len(sources))
        streams = [data.batches(size, self.steps, attacker.generator) for data in sources]
        for batches in zip(*streams, strict=True):
            yield torch.cat([inputs for inputs, _ in batches])


def _sources(attacker: Attacker) -> list[Data]:
    return [data for data in (attacker.unlabelled, attacker.desirable) if data is not None]


def _deviation(model: Classifier, attacker: Attacker) -> Tensor:
    """Return the deviation `(D,)` of each feature, 1 where it never changes."""
    inputs = torch.cat([sample(data) for data in _sources(attacker)])
    with at_rest(model):
        deviation = _finite(model.backbone(inputs)).double().std(dim=0).float()
    return torch.where(deviation > 0, deviation, 1.0)


def _finite(features: Tensor) -> Tensor:
    return torch.nan_to_num(features, 0.0, 0.0, 0.0)
