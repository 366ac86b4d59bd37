"""Activations that are flat somewhere, made to slope."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import replace_part
from rootbound.attacks.repairs.repair import Repair
from rootbound.networks import Classifier

FLAT = (nn.ReLU, nn.ReLU6, nn.Threshold, nn.Hardshrink, nn.Softshrink)
"""Activations that are 0, with gradient 0, on an interval."""


@dataclass(frozen=True)
class LeakyActivations(Repair):
    """Put `max(x, slope * x)` in the place of every ReLU and of its kin with a dead zone.

    So gradients reach units that are off (A. Maas et al., "Rectifier Nonlinearities", 2013).
    Only activations that are modules are replaced.

    Args:
        slope: left of 0, in (0, 1).
    """

    slope: float = 0.1

    def applies_to(self, model: Classifier) -> bool:
        """Return whether there is such an activation."""
        return any(isinstance(part, FLAT) for part in model.backbone.modules())

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with other activations."""
        for path, part in list(model.named_modules(remove_duplicate=False)):
            if isinstance(part, FLAT):
                replace_part(model, path, nn.LeakyReLU(self.slope))
        return model
