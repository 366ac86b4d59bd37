"""What a defence may cost, in place of how much it shall weigh: a Lagrange multiplier."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.training import accuracy

CHECKS = 80
"""How often the price would be taken over the whole of training."""
RATE, MEMORY = 0.15, 0.7
"""Most that the logarithm of the weight moves at a check; share of the price that is kept."""
SMALLEST = 1e-4


class Price:
    """Move a weight so that the desirable accuracy lost comes to what may be lost.

    Dual ascent: `log w <- log w + RATE * clip((allowed - lost) / allowed, -1, 1)` at each of
    `CHECKS` times, where `lost` is a running mean of the twin's accuracy less the model's on
    held-out samples. The twin starts where the model does and takes the same batches without
    the defence, so that the two share what is random. What is lost while the learning rate is
    high is mostly won back, so that as a rule less is lost in the end than may be.

    Args:
        model: the one that is defended.
        held: desirable samples that neither learns from.
        allowed: points of accuracy that may be lost, above 0.
        weight: where to begin, above 0.
        start: progress from which on it moves, in [0, 1].
    """

    def __init__(
        self, model: Classifier, held: Data, allowed: float, weight: float, start: float
    ) -> None:
        self.model, self.twin = model, copy.deepcopy(model)
        self.held, self.allowed, self.weight = held, allowed, weight
        self.lost: float | None = None
        self.checks = math.floor(start * CHECKS)

    def at(self, progress: float) -> float:
        """Return the weight at that progress through training, in [0, 1]."""
        if progress * CHECKS >= self.checks + 1:
            self.checks = math.floor(progress * CHECKS)
            self._check()
        return self.weight

    def state_dict(self) -> dict[str, Any]:
        """Return how far the weight has moved; the twin is trained as the model is."""
        return {"weight": self.weight, "lost": self.lost, "checks": self.checks}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Be as a state says."""
        self.weight, self.lost = float(state_dict["weight"]), state_dict["lost"]
        self.checks = int(state_dict["checks"])

    def _check(self) -> None:
        now = 100 * (accuracy(self.twin, self.held) - accuracy(self.model, self.held))
        self.lost = now if self.lost is None else MEMORY * self.lost + (1 - MEMORY) * now
        slack = (self.allowed - self.lost) / self.allowed
        moved = math.log(self.weight) + RATE * max(-1.0, min(1.0, slack))
        self.weight = max(SMALLEST, math.exp(moved))
