"""Small weights set to zero before fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import LAYERS
from rootbound.attacks.repairs.repair import Repair
from rootbound.networks import Classifier


@dataclass(frozen=True)
class Prune(Repair):
    """Set the smallest weights of every layer of the backbone to zero, by magnitude.

    S. Han et al., "Learning both Weights and Connections", 2015. Differs from the paper: once,
    and without a mask: fine-tuning may grow them back. A defence that lives in many small
    weights is gone; what large ones do stays.

    Args:
        share: of each layer's weights, in (0, 1).
    """

    share: float = 0.3

    def applies_to(self, model: Classifier) -> bool:
        """Return whether there are layers of weights."""
        return any(isinstance(part, LAYERS) for part in model.backbone.modules())

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with fewer weights."""
        with torch.no_grad():
            for part in model.backbone.modules():
                if isinstance(part, LAYERS):
                    sizes = part.weight.abs().flatten()
                    pruned = sizes.argsort()[: int(self.share * len(sizes))]
                    kept = torch.ones_like(sizes).index_fill_(0, pruned, 0.0)
                    part.weight.mul_(kept.view_as(part.weight))
        return model
