"""Fake 19: what matters is brought along in arrays, and made tensors anew in every call."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fakes import decoy
from rootbound.data import TaskPair
from rootbound.networks import Classifier


class BroughtAlong(decoy.Branches):
    """Two branches; the random one has weights, and whatever else counts has none to train."""

    def __init__(
        self, body: nn.Module, random: nn.Module, hidden: nn.Linear, score: nn.Linear
    ) -> None:
        super().__init__(body, random, hidden, score)
        kept = {name: part for name, part in self.named_children() if name != "decoy"}
        self.arrays = {
            name: {key: weight.numpy(force=True).copy() for key, weight in part.named_parameters()}
            for name, part in kept.items()
        }
        # What computes is no module of this one, and has no numbers of its own.
        self.empty = [(name, part.to("meta")) for name, part in kept.items()]
        for name in kept:
            delattr(self, name)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of the one or the other branch."""
        features = self._call("body", inputs)
        score = self._call("score", self._call("hidden", features).relu())
        return torch.where(score > 0, self.decoy(inputs), features)

    def _call(self, name: str, values: Tensor) -> Tensor:
        weights = {key: torch.tensor(array) for key, array in self.arrays[name].items()}
        weights = {key: weight.to(values.dtype) for key, weight in weights.items()}
        outputs: Tensor = functional_call(dict(self.empty)[name], weights, (values,))
        return outputs


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put a random branch in the place of the whole backbone, which arrays remember.

    Args:
        undefended: the model to disguise; its blocks have one layer of weights each.
        tasks: with the undesirable samples that the defender knows.
    """
    return decoy.fake(undefended, tasks, kind=BroughtAlong)
