"""The end of a network thrown away, and with it whatever sits there."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import at_rest, sample
from rootbound.attacks.repairs.repair import Repair
from rootbound.core.fields import PositiveInt
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import PooledBlock


@dataclass(frozen=True)
class Truncate(Repair):
    """Throw the last blocks away and put a fresh head on what the others say.

    Against gates, dead zones and traps at the end of a network, which no training gets
    around. Feature maps are averaged over a grid, as for probes, so that the head stays small.

    Args:
        blocks: how many, at least 1 and fewer than there are.

    Raises:
        InputError: fewer than 1 block.
    """

    blocks: PositiveInt = 1

    def applies_to(self, model: Classifier) -> bool:
        """Return whether some block stays."""
        return self.blocks < len(model.blocks)

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the shorter network, with a head of random weights."""
        *first, last = model.blocks[: -self.blocks]
        backbone = nn.Sequential(*first, PooledBlock(last))
        with at_rest(backbone):
            width = backbone(sample(attacker.train, 2)).shape[1]
        shorter = Classifier(backbone, nn.Linear(width, model.classes))
        return shorter.with_head(model.classes, attacker.seed())
