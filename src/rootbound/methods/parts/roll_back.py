"""A bound on what a defence may cost: weights that break it are not kept."""

from __future__ import annotations

import copy

import torch

from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.training import accuracy


class RollBack:
    """Keep a model's last weights with which it is accurate enough.

    Args:
        model: is put into evaluation mode while it is judged.
        checked: samples that it is judged on.
        allowed_drop: of the accuracy on them from what it is now, in [0, 1].
    """

    def __init__(self, model: Classifier, checked: Data, allowed_drop: float) -> None:
        self.model, self.checked = model, checked
        self.bound = accuracy(model, checked) - allowed_drop
        self.kept = copy.deepcopy(model.state_dict())

    def check(self) -> bool:
        """Keep the weights if they are within the bound, else take the last such back."""
        held = accuracy(self.model, self.checked) >= self.bound
        if held:
            self.kept = copy.deepcopy(self.model.state_dict())
        else:
            self.model.load_state_dict(self.kept)
        return held


def held_aside(data: Data, count: int, generator: torch.Generator) -> tuple[Data, Data]:
    """Return `count` samples drawn at random, half of them at most, and the others."""
    order = torch.randperm(len(data), generator=generator)
    count = min(count, len(data) // 2)
    return data.select(order[:count]), data.select(order[count:])
