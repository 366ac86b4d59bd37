"""A price in place of a weight: how much desirable accuracy a defence may cost."""

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
"""How often the price would be measured over the whole of training."""
RATE = 0.15
"""The most that the logarithm of the weight rises at the first check."""
STEEPEST_FALL = 4.0
"""How many times `RATE` it falls at most: what has been taken away comes back slowly."""
BEGINNING = 0.2
"""The weight at the start, as a share of the one that is asked for."""
AVERAGED = 0.04
"""Share of training over which weights are averaged before they are compared."""
SMALLEST = 1e-4
"""The smallest weight."""


class Price:
    """Move a weight so that the desirable accuracy lost comes to what may be lost.

    Dual ascent: `log w <- log w + RATE * clip((allowed - lost) / allowed, -STEEPEST_FALL, left)`
    at each of `CHECKS` times, where `lost` is the twin's accuracy less the model's on held-out
    samples, and `left` the share that is left of the training in which the weight moves: what a
    late rise costs shows when it cannot be won back. The twin starts where the model does and takes
    the same batches without the defence, so that the two share what is random. Both are compared
    with averaged weights, which tell what the model will have lost when the learning rate has
    fallen; without that, steps of a high rate hide it.

    Averages of weights: P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
    Generalization", UAI 2018, https://arxiv.org/abs/1803.05407. Differs from the paper: the
    average is exponential, and those of BatchNorm's statistics are averaged in the same way.

    Args:
        model: The defended model.
        held_out: Desirable samples that neither learns from.
        allowed: Points of accuracy that may be lost, above 0.
        weight: The usual weight, above 0; a `BEGINNING` of it is the weight at the start.
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
        """Return the weight at that progress through training, in [0, 1], before a step there."""
        for average, one in zip(self.averages, (self.model, self.twin), strict=True):
            average.update_parameters(one)
        if progress * CHECKS >= self.checks + 1:
            self.checks = math.floor(progress * CHECKS)
            self._check((1 - progress) / (1 - self.start))
        return self.weight

    def state_dict(self) -> dict[str, Any]:
        """Return how far the weight has moved; the twin is trained, and saved, with the model."""
        averages = [average.state_dict() for average in self.averages]
        return {"weight": self.weight, "checks": self.checks, "averages": averages}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.weight, self.checks = float(state_dict["weight"]), int(state_dict["checks"])
        for average, state in zip(self.averages, state_dict["averages"], strict=True):
            average.load_state_dict(state)

    def measure(self) -> tuple[float, float]:
        """Return the points that the model as it is now has lost, and their standard error."""
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
    """Return an average that has moved a share of its way to a value of now."""
    if not now.is_floating_point():
        return now
    # What is equal stays: masks of minus infinity would become NaN.
    return kept.where(kept == now, kept.lerp(now, share))
