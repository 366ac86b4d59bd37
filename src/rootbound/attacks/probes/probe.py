"""What all probes share: the network is frozen, and something is fitted to what it says."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from rootbound.attacks.base import Attack
from rootbound.attacks.probes.reading import Reading
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.records import Tier


@dataclass(frozen=True)
class Probe(Attack):
    """Fit a new classifier to frozen features `(N, D)`; subclasses say which and how.

    Args:
        reading: where the features are read.
    """

    tier: ClassVar[Tier] = "probe"

    reading: Reading = field(default=Reading(), kw_only=True)

    @property
    def family(self) -> str:
        """Where the network is read."""
        return f"probe, {self.reading}"

    def trained_blocks(self, model: Classifier) -> int:
        """Return 0: the network is frozen."""
        return 0

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the network has the place that is read."""
        return self.reading.applies_to(model)

    def cut_key(self, model: Classifier) -> Hashable:
        """Return the place, or 0 where that is what the model's own head reads."""
        return 0 if self.reading.is_last else self.reading

    def cut(self, model: Classifier, samples: Data) -> tuple[nn.Module, Classifier]:
        """Return the network up to the place, and a head on the features there."""
        readout = self.reading.readout(model)
        width = readout(samples.batch(slice(0, 1))[0]).shape[1]
        place = model.head.weight.device
        head = nn.utils.skip_init(nn.Linear, width, model.classes, device=place)
        return readout, Classifier(nn.Sequential(), head)
