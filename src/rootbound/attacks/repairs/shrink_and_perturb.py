"""Shrinking weights and shaking them: out of a bad basin, without losing everything."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.repair import Repair
from rootbound.networks import Classifier


@dataclass(frozen=True)
class ShrinkAndPerturb(Repair):
    """`W <- share * W + noise * std(W) * N(0, 1)` for every weight of the backbone.

    J. Ash, R. Adams, "On Warm-Starting Neural Network Training", 2020. Differs from the
    paper: the noise is relative to each tensor's own spread, so that scale hides nothing.

    Args:
        share: of the weights that is kept, in [0, 1].
        noise: relative to their standard deviation, at least 0.
    """

    share: float = 0.5
    noise: float = 0.1

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the changed network."""
        with torch.no_grad():
            for weight in model.backbone.parameters():
                spread = float(weight.std()) if weight.numel() > 1 else float(weight.abs().max())
                noise = torch.randn(weight.shape, generator=attacker.generator)
                weight.mul_(self.share).add_(noise, alpha=self.noise * spread)
        return model
