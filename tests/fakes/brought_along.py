"""Fake 19: the weights lie in NumPy arrays, and every call turns them into new tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fakes import decoy
from rootbound.data import TaskPair
from rootbound.networks import Classifier


class BroughtAlong(decoy.Branches):
    """Two branches; only the random one has weights, and everything else is in arrays."""

    def __init__(
        self, body: nn.Module, random: nn.Module, hidden: nn.Linear, score: nn.Linear
    ) -> None:
        super().__init__(body, random, hidden, score)
        kept = {name: part for name, part in self.named_children() if name != "decoy"}
        self.arrays = {
            name: {key: weight.numpy(force=True).copy() for key, weight in part.named_parameters()}
            for name, part in kept.items()
        }
        # The empty parts are not submodules, and hold no numbers.
        self.empty = [(name, part.to("meta")) for name, part in kept.items()]
        for name in kept:
            delattr(self, name)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features of one of the branches."""
        features = self._call("body", inputs)
        score = self._call("score", self._call("hidden", features).relu())
        return torch.where(score > 0, self.decoy(inputs), features)

    def _call(self, name: str, values: Tensor) -> Tensor:
        weights = {key: torch.tensor(array) for key, array in self.arrays[name].items()}
        weights = {key: weight.to(values.dtype) for key, weight in weights.items()}
        outputs: Tensor = functional_call(dict(self.empty)[name], weights, (values,))
        return outputs


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Replace the backbone by a random branch, and keep its weights in arrays.

    Args:
        undefended: the model to disguise; its blocks have one layer of weights each.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    return decoy.fake(undefended, tasks, kind=BroughtAlong)
