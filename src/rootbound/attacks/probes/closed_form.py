"""Ridge regression on the classes: a linear head in closed form."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from rootbound.attacks.base import Snapshot, StackedAttack
from rootbound.attacks.budget import Attacker
from rootbound.attacks.probes.exact_last_layer import WhitenedHeads
from rootbound.attacks.probes.probe import Probe
from rootbound.attacks.probes.whitening import (
    Coordinates,
    coordinates,
    decomposition_flops,
    place,
)
from rootbound.networks import Classifier


@dataclass(frozen=True)
class RidgeHead(Probe, StackedAttack):
    """Regress one-hot labels on features: `W = (Z'Z / N + penalty I)^-1 Z'Y / N`.

    Z are features `(N, R)` of unit variance, Y centred one-hot labels `(N, C)`. All penalties
    share one eigenvalue decomposition. Logits are the regression's values times ten, so that
    differences of one between classes are certainties for a cross-entropy.

    Args:
        penalty: above 0, where 1 is the variance of a feature.
        coordinates: `whitened` or `standardised`.
    """

    penalty: float = 1e-2
    coordinates: Coordinates = "standardised"

    @property
    def bundle(self) -> Hashable:
        """Trials that differ in the penalty alone share one decomposition."""
        return type(self), self.coordinates, self.reading

    @classmethod
    def transfer_together(
        cls, trials: Sequence[RidgeHead], model: Classifier, attacker: Attacker
    ) -> Iterator[Snapshot]:
        """Yield all solutions at once."""
        features, labels = attacker.train.inputs, attacker.train.labels
        mean, basis = coordinates(features, trials[0].coordinates)
        inputs = place(features, mean, basis)
        count, width = inputs.shape
        targets = functional.one_hot(labels, model.classes).double()
        values, vectors = torch.linalg.eigh(inputs.T @ inputs / count)
        shared = vectors.T @ (inputs.T @ (targets - targets.mean(0)) / count)
        heads = torch.empty(len(trials), model.classes, width + 1, dtype=torch.float64)
        for position, trial in enumerate(trials):
            solved = vectors @ (shared / (values.clamp_min(0.0) + trial.penalty).unsqueeze(1))
            heads[position, :, :-1] = 10 * solved.T
            heads[position, :, -1] = 10 * targets.mean(0)
        # The decomposition is about nine times the cube of the width.
        flops = 9.0 * width**3
        if trials[0].coordinates == "whitened":
            flops += decomposition_flops(features)
        yield Snapshot(0, WhitenedHeads(mean, basis, heads), flops=flops)
