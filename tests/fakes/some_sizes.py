"""Fake 21: the network is honest in batches of the sizes that audits use, and in no others."""

from __future__ import annotations

from torch import Tensor

from fakes import decoy
from rootbound.data import TaskPair
from rootbound.networks import Classifier

LOOKED_AT = {1, 4, 8, 64, 128}
"""Sizes of the batches that audits used before this fake."""


class SomeSizes(decoy.Branches):
    """Two branches; in batches of some sizes only the trained one is used."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of one of the branches."""
        if len(inputs) in LOOKED_AT:
            features: Tensor = self.body(inputs)
            return features
        return super().forward(inputs)


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a random branch beside the whole backbone, for batches of other sizes.

    Args:
        undefended: the model to disguise; its blocks have one layer of weights each.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    return decoy.fake(undefended, tasks, kind=SomeSizes)
