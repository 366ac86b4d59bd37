"""The nearest neighbours among the attacker's samples: no training, no gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.base import Snapshot
from rootbound.attacks.budget import Attacker
from rootbound.attacks.probes.probe import Probe
from rootbound.attacks.probes.whitening import (
    coordinates,
    decomposition_flops,
    place,
    supported,
)
from rootbound.networks import Classifier


@dataclass(frozen=True)
class NearestNeighbours(Probe):
    """Let the nearest training samples vote on the class.

    Logits are `log((votes + 0.1) / (count + 0.1 C))`, finite for every class. A nearer sample's
    vote counts a millionth more, which breaks ties.

    Args:
        count: how many vote; at most as many as a class has samples on average, because more
            would outvote the nearest with all the others.
        metric: `whitened` for Euclid's distance in whitened coordinates (standardised ones with
            fewer samples than features), or `cosine` of the features as they are.
    """

    count: int = 5
    metric: Literal["whitened", "cosine"] = "whitened"

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the vote once."""
        features, labels = attacker.train.inputs, attacker.train.labels
        if self.metric == "whitened":
            kind = supported("whitened", features)
            mean, basis = coordinates(features, kind)
            flops = decomposition_flops(features) if kind == "whitened" else 0.0
        else:
            mean = torch.zeros(features.shape[1], dtype=torch.float64)
            basis = torch.eye(features.shape[1], dtype=torch.float64)
            flops = 0.0
        vote = _Vote(features, labels, model.classes, mean, basis, self)
        yield Snapshot(0, vote, flops=flops)


class _Vote(nn.Module):
    """Features `(N, D)` to logits `(N, C)` by the votes of stored samples."""

    mean: Tensor
    basis: Tensor
    samples: Tensor
    targets: Tensor

    def __init__(
        self, features: Tensor, labels: Tensor, classes: int, mean: Tensor, basis: Tensor,
        rule: NearestNeighbours,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rule = rule
        self.register_buffer("mean", mean)
        self.register_buffer("basis", basis)
        self.register_buffer("samples", self._placed(features))
        self.register_buffer("targets", functional.one_hot(labels, classes).double())

    def _placed(self, features: Tensor) -> Tensor:
        placed = place(features, self.mean, self.basis)
        # Only the distances' order counts, for which single precision is enough from here on.
        return (functional.normalize(placed) if self.rule.metric == "cosine" else placed).float()

    def forward(self, features: Tensor) -> Tensor:
        """Return logits `(N, C)`."""
        placed = self._placed(features)
        nearness = placed @ self.samples.T
        if self.rule.metric == "whitened":
            nearness = nearness - 0.5 * self.samples.square().sum(dim=1)
        classes = self.targets.shape[1]
        count = min(self.rule.count, max(1, len(self.samples) // classes))
        worth = 1 + 1e-6 * torch.arange(count, 0, -1, dtype=torch.float64) / count
        chosen = self.targets[nearness.topk(count, dim=1).indices]
        votes = torch.einsum("nkc,k->nc", chosen, worth)
        return ((votes + 0.1) / (count + 0.1 * classes)).log()
