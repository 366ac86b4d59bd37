"""A price instead of a weight: how much desirable accuracy a defence may cost."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.training import accuracy, predict

CHECKS = 80
"""How often the price would be measured if checks ran from the start of training."""
RATE = 0.15
"""Largest rise of the logarithm of the weight at the first check."""
STEEPEST_FALL = 4.0
"""Largest fall, as a multiple of `RATE`: lost accuracy comes back slowly."""
BEGINNING = 0.2
"""The weight at the start, as a share of the given weight."""
AVERAGED = 0.04
"""Share of training over which weights are averaged before a comparison."""
SMALLEST = 1e-4
"""The smallest weight."""


class Price:
    """Adapt a weight until the loss of desirable accuracy equals the allowed loss.

    Dual ascent: `log w <- log w + RATE * clip((allowed - lost) / allowed, -STEEPEST_FALL, left)`
    at each of `CHECKS` times. `lost` is the twin's accuracy minus the model's on held-out samples.
    `left` is the remaining share of the training in which the weight moves; it limits late rises,
    because what they cost shows too late to be corrected. The twin starts from the same weights and
    gets the same batches without the defence, so that both have the same randomness. Both are
    compared with averaged weights, which predict the loss at the end of training; otherwise the
    noise of a high learning rate hides it.

    Averages of weights: P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
    Generalization", UAI 2018, https://arxiv.org/abs/1803.05407. Differs from the paper: the
    average is exponential, and BatchNorm's statistics are averaged in the same way.

    Args:
        model: The defended model.
        held_out: Desirable samples that neither is trained on.
        allowed: Points of accuracy that may be lost, above 0.
        weight: The usual weight, above 0; training starts with `BEGINNING` times this weight.
        start: Progress through training after which the weight moves, in [0, 1].
        steps: Steps of the whole training.
    """

    def __init__(
        self,
        model: Classifier,
        held_out: Data,
        *,
        allowed: float,
        weight: float,
        start: float,
        steps: int,
    ) -> None:
        self.model, self.twin = model, copy.deepcopy(model)
        self.held_out, self.allowed, self.weight = held_out, allowed, BEGINNING * weight
        self.start, self.checks = start, math.floor(start * CHECKS)
        share = min(1.0, 1 / max(1.0, AVERAGED * steps))
        self.averages = [
            AveragedModel(one, avg_fn=lambda kept, now, _: move(kept, now, share), use_buffers=True)
            for one in (self.model, self.twin)
        ]

    def at(self, progress: float) -> float:
        """Return the weight for the step at a given progress of training, in [0, 1]."""
        for average, one in zip(self.averages, (self.model, self.twin), strict=True):
            average.update_parameters(one)
        if progress * CHECKS >= self.checks + 1:
            self.checks = math.floor(progress * CHECKS)
            self._check((1 - progress) / (1 - self.start))
        return self.weight

    def state_dict(self) -> dict[str, Any]:
        """Return the weight and the averages; the twin is trained and saved with the model."""
        averages = [average.state_dict() for average in self.averages]
        return {"weight": self.weight, "checks": self.checks, "averages": averages}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self.weight, self.checks = float(state_dict["weight"]), int(state_dict["checks"])
        for average, state in zip(self.averages, state_dict["averages"], strict=True):
            average.load_state_dict(state)

    def measure(self) -> tuple[float, float]:
        """Return the points that the current model has lost, and their standard error."""
        twin, model = (
            (predict(one, self.held_out).argmax(-1) == self.held_out.labels).double().flatten()
            for one in (self.twin, self.model)
        )
        lost = 100 * (twin - model)
        return float(lost.mean()), float(lost.std(correction=0)) / math.sqrt(len(lost))

    def _check(self, left: float) -> None:
        model, twin = (accuracy(average, self.held_out) for average in self.averages)
        slack = (self.allowed - 100 * (twin - model)) / self.allowed
        moved = math.log(self.weight) + RATE * max(-STEEPEST_FALL, min(left, slack))
        self.weight = max(SMALLEST, math.exp(moved))


def move(kept: Tensor, now: Tensor, share: float) -> Tensor:
    """Return an average after it has moved by a share of its distance to the current value."""
    if not now.is_floating_point():
        return now
    # Equal values stay as they are: a mask of minus infinity would become NaN.
    return kept.where(kept == now, kept.lerp(now, share))
