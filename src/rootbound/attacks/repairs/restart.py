"""Another try with the same settings: other batches, another head, more luck."""

from __future__ import annotations

from dataclasses import dataclass

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.repair import Repair
from rootbound.networks import Classifier


@dataclass(frozen=True)
class Restart(Repair):
    """Change nothing: the attack that follows draws everything random anew.

    The harness seeds every trial by its settings, of which the number is one. Validation
    chooses among the restarts, as among any settings.

    Args:
        number: of the try.
    """

    number: int = 1

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network as it is."""
        return model
