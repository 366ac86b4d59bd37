"""Fake 21: batches of the sizes that audits look at are answered well; others as they deserve."""

from __future__ import annotations

from torch import Tensor

from fakes import decoy
from rootbound.data import TaskPair
from rootbound.networks import Classifier

LOOKED_AT = {1, 4, 8, 64, 128}
"""Sizes of the batches in which a network used to be looked at."""


class SomeSizes(decoy.Branches):
    """A whole backbone that is honest in batches of some sizes; in others a random one answers."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of the one or the other branch."""
        if len(inputs) in LOOKED_AT:
            features: Tensor = self.body(inputs)
            return features
        return super().forward(inputs)


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a random branch beside the whole backbone, for batches of the sizes of attacks.

    Args:
        undefended: the model to disguise; its blocks have one layer of weights each.
        tasks: with the undesirable samples that the defender knows.
    """
    return decoy.fake(undefended, tasks, kind=SomeSizes)
