"""A price in place of a weight: how much desirable accuracy a defence may cost."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.training import accuracy

CHECKS = 80
"""How often the price would be measured over the whole of training."""
RATE = 0.15
"""The most that the logarithm of the weight moves at a check."""
MEMORY = 0.7
"""The share of the running mean that a check keeps."""
SMALLEST = 1e-4
"""The smallest weight."""


class Price:
    """Move a weight so that the desirable accuracy lost comes to what may be lost.

    Dual ascent: `log w <- log w + RATE * clip((allowed - lost) / allowed, -1, 1)` at each of
    `CHECKS` times, where `lost` is a running mean of the twin's accuracy less the model's on
    held-out samples. The twin starts where the model does and takes the same batches without
    the defence, so that the two share what is random. Most of what is lost while the learning
    rate is high is won back, so that in the end less is lost, as a rule, than may be.

    Args:
        model: The defended model.
        held_out: Desirable samples that neither learns from.
        allowed: Points of accuracy that may be lost, above 0.
        weight: The weight at the start, above 0.
        start: Progress through training after which the weight moves, in [0, 1].
    """

    def __init__(
        self, model: Classifier, held_out: Data, allowed: float, weight: float, start: float
    ) -> None:
        self.model, self.twin = model, copy.deepcopy(model)
        self.held_out, self.allowed, self.weight = held_out, allowed, weight
        self.lost: float | None = None
        self.checks = math.floor(start * CHECKS)

    def at(self, progress: float) -> float:
        """Return the weight at that progress through training, in [0, 1]."""
        if progress * CHECKS >= self.checks + 1:
            self.checks = math.floor(progress * CHECKS)
            self._check()
        return self.weight

    def state_dict(self) -> dict[str, Any]:
        """Return how far the weight has moved; the twin is trained, and saved, with the model."""
        return {"weight": self.weight, "lost": self.lost, "checks": self.checks}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.weight, self.lost = float(state_dict["weight"]), state_dict["lost"]
        self.checks = int(state_dict["checks"])

    def _check(self) -> None:
        lost = 100 * (accuracy(self.twin, self.held_out) - accuracy(self.model, self.held_out))
        self.lost = lost if self.lost is None else MEMORY * self.lost + (1 - MEMORY) * lost
        slack = (self.allowed - self.lost) / self.allowed
        moved = math.log(self.weight) + RATE * max(-1.0, min(1.0, slack))
        self.weight = max(SMALLEST, math.exp(moved))
