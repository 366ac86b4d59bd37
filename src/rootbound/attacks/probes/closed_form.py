"""Linear heads in closed form: ridge regression, and discriminant analysis."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.attacks.base import Snapshot, StackedAttack
from rootbound.attacks.budget import Attacker
from rootbound.attacks.probes.coordinates import CoordinatesName, find_coordinates
from rootbound.attacks.probes.exact_last_layer import LinearHeads
from rootbound.attacks.probes.probe import Probe
from rootbound.core.fields import PositiveFloat, Range
from rootbound.networks import Classifier

EIGENVALUE_FLOPS = 9.0
"""Cost of an eigenvalue decomposition, in cubes of the width."""
ABSENT = -1e4
"""Logit of a class without samples: never chosen, and finite."""


class ClosedForm(Probe, StackedAttack):
    """Probes whose trials share one decomposition if they differ only in their regularisation."""

    coordinates: CoordinatesName

    @property
    def bundle(self) -> Hashable:
        """Everything but the regularisation."""
        return type(self), self.coordinates, self.reading


@dataclass(frozen=True)
class RidgeHead(ClosedForm):
    """Regress one-hot labels on features: `W = (Z'Z / N + penalty I)^-1 Z'Y / N`.

    Z are features `(N, R)` of unit variance, Y centred one-hot labels `(N, C)`. All penalties
    share one decomposition. Logits are the regression's values times ten, so that a difference
    of one between classes is near certainty in a cross-entropy.

    Args:
        penalty: Penalty of the squared weights, where 1 is the variance of a feature.
        coordinates: `whitened` or `standardised`.
    """

    penalty: PositiveFloat = 1e-2
    coordinates: CoordinatesName = "standardised"

    @classmethod
    def transfer_together(
        cls, trials: Sequence[RidgeHead], model: Classifier, attacker: Attacker
    ) -> Iterator[Snapshot]:
        """Yield all solutions at once."""
        features, labels = attacker.train.inputs, attacker.train.labels
        coordinates = find_coordinates(features, trials[0].coordinates)
        inputs = coordinates(features)
        count, width = inputs.shape
        targets = functional.one_hot(labels, model.classes).double()
        values, vectors, flops = _decompose(inputs)
        shared = vectors.T @ (inputs.T @ (targets - targets.mean(0)) / count)
        heads = torch.empty(len(trials), model.classes, width + 1, dtype=torch.float64)
        for position, trial in enumerate(trials):
            solved = vectors @ (shared / (values.clamp_min(0.0) + trial.penalty).unsqueeze(1))
            heads[position, :, :-1] = 10 * solved.T
            heads[position, :, -1] = 10 * targets.mean(0)
        yield Snapshot(0, LinearHeads(coordinates, heads), flops=flops + coordinates.flops)


@dataclass(frozen=True)
class DiscriminantHead(ClosedForm):
    """Assign a sample to the nearest class mean by Mahalanobis' distance.

    `logit_c = m_c' S^-1 z - m_c' S^-1 m_c / 2` with class means `m_c` of features
    of unit variance and `S = (1 - shrinkage) S_w + shrinkage tr(S_w) / R I`,
    S_w the covariance within classes (J. Friedman, "Regularized Discriminant Analysis", 1989,
    equation 18 with one covariance).
    Classes count as equally frequent. All shrinkages share one decomposition.

    Args:
        shrinkage: In (0, 1]; with 1, the nearest mean by Euclidean distance is chosen.
        coordinates: `standardised`, or `whitened`: then S shrinks towards the covariance of all
            samples, and an invertible linear map of the features changes nothing.
    """

    shrinkage: Annotated[float, Range(above=0, at_most=1)] = 0.1
    coordinates: CoordinatesName = "standardised"

    @classmethod
    def transfer_together(
        cls, trials: Sequence[DiscriminantHead], model: Classifier, attacker: Attacker
    ) -> Iterator[Snapshot]:
        """Yield all solutions at once."""
        features, labels = attacker.train.inputs, attacker.train.labels
        coordinates = find_coordinates(features, trials[0].coordinates)
        inputs = coordinates(features)
        width = inputs.shape[1]
        members = functional.one_hot(labels, model.classes).double()
        counts = members.sum(0)
        means = members.T @ inputs / counts.clamp_min(1.0).unsqueeze(1)
        values, vectors, flops = _decompose(inputs - means[labels])
        values = values.clamp_min(0.0)
        # With one sample per class nothing varies within classes: all directions count the same.
        typical = float(values.sum()) / width if width and float(values.sum()) > 0 else 1.0
        rotated = means @ vectors
        heads = torch.empty(len(trials), model.classes, width + 1, dtype=torch.float64)
        for position, trial in enumerate(trials):
            least = trial.shrinkage * typical
            spread = (1 - trial.shrinkage) * values + least
            # In directions along which nothing varies within classes, S has its least eigenvalue.
            scaled = means / least + (rotated * (1 / spread - 1 / least)) @ vectors.T
            heads[position, :, :-1] = scaled
            heads[position, :, -1] = -0.5 * (scaled * means).sum(dim=1)
        heads[:, counts == 0, -1] = ABSENT
        yield Snapshot(0, LinearHeads(coordinates, heads), flops=flops + coordinates.flops)


def _decompose(samples: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return eigenvalues `(K,)` of `Z'Z / N`, their vectors `(R, K)`, and their approximate cost.

    If Z `(N, R)` has fewer samples than features, K is N and the other eigenvalues are 0. The
    decomposition is then done in the coordinates of `Z' = QT`, with T a triangle.
    """
    count, width = samples.shape
    if count >= width:
        values, vectors = torch.linalg.eigh(samples.T @ samples / count)
        return values, vectors, EIGENVALUE_FLOPS * width**3
    basis, triangle = torch.linalg.qr(samples.T)
    values, vectors = torch.linalg.eigh(triangle @ triangle.T / count)
    return values, basis @ vectors, EIGENVALUE_FLOPS * count**3 + 4.0 * width * count**2
