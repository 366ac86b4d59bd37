"""Values and gradients that are not finite, stopped where they arise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.repair import Repair
from rootbound.networks import Classifier


@dataclass(frozen=True)
class Sanitise(Repair):
    """Make 0 of NaN and clamp what is too large, after every part of the backbone's sequences.

    Gradients that are not finite become 0 on their way back as well: the derivative of a
    masked NaN is NaN again. Where all is finite and small enough, nothing changes.

    Args:
        largest: absolute value that passes.
    """

    largest: float = 1e8

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with every part wrapped."""
        blocks = [self._wrapped(block) for block in model.blocks]
        return Classifier(nn.Sequential(*blocks), model.head)

    def _wrapped(self, part: nn.Module) -> nn.Module:
        if type(part).forward is nn.Sequential.forward:
            return nn.Sequential(*(self._wrapped(inner) for inner in part.children()))
        return Finite(part, self.largest)


class Finite(nn.Module):
    """A part of a network whose outputs, and the gradients of its inputs, are finite.

    Args:
        part: what is wrapped.
        largest: absolute value of its outputs.
    """

    def __init__(self, part: nn.Module, largest: float) -> None:
        super().__init__()
        self.part = part
        self.largest = largest

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the part says, with 0 for NaN."""
        if inputs.requires_grad:
            inputs.register_hook(lambda gradient: torch.nan_to_num(gradient, 0.0, 0.0, 0.0))
        outputs: Tensor = self.part(inputs)
        return torch.nan_to_num(outputs, nan=0.0).clamp(-self.largest, self.largest)
