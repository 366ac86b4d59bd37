"""Weights moved towards those of the undefended sibling: what no attacker could do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.repair import Repair
from rootbound.core.errors import InputError
from rootbound.networks import Classifier
from rootbound.records import Tier


@dataclass(frozen=True)
class Interpolate(Repair):
    """`(1 - share) w + share w'` for weights w and those of the undefended sibling, w'.

    A control, since whoever holds the sibling has no need of the defended network: it shows
    how far the two are apart. Running statistics move along; the head does where the two
    have equally many classes.

    Args:
        share: of the sibling, in [0, 1].
    """

    tier: ClassVar[Tier] = "control"
    needs: ClassVar[tuple[str, ...]] = ("sibling",)

    share: float = 0.5

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network between the two.

        Raises:
            InputError: the sibling has other weights.
        """
        assert attacker.sibling is not None  # it is needed
        own, other = model.state_dict(), attacker.sibling.state_dict()
        for name, value in own.items():
            moves = name in other and value.shape == other[name].shape
            if name.startswith("backbone") and not moves:
                raise InputError(
                    "a sibling of the same architecture",
                    f"none of its weights is {name} of shape {tuple(value.shape)}",
                    "leave this attack out",
                )
            if moves and value.is_floating_point():
                with torch.no_grad():
                    value.lerp_(other[name], self.share)
        return model
