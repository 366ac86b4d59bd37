"""The last layer, exactly: the global optimum of a convex problem, with its certificate."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rootbound.attacks.base import Snapshot, StackedAttack
from rootbound.attacks.budget import Attacker
from rootbound.attacks.probes.coordinates import (
    ROUNDING,
    Coordinates,
    CoordinatesName,
    find_coordinates,
)
from rootbound.attacks.probes.logistic import LogisticProblem, Matrix
from rootbound.attacks.probes.probe import Probe
from rootbound.core.fields import NonNegativeFloat, PositiveFloat, PositiveInt
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.records import EXACT


@dataclass(frozen=True)
class ExactLastLayer(Probe, StackedAttack):
    """Solve for a new last layer on frozen features: no learning rate, no luck.

    Loss: `P(W) = mean CE(z W) + penalty/2 |W|^2` over features `z` that are standardised and,
    by default, whitened with a float64 singular value decomposition, which undoes any
    invertible linear map a defence may have put in front. L-BFGS descends to the optimum.
    The certificate is the duality gap: with p the predicted probabilities and
    `V = mean z'(y - p) / penalty`, `P(W) - D(p) = penalty/2 |W - V|^2 = |grad P|^2 / (2 penalty)`.
    Hence no head whose norm is at most |W| has a training loss lower by more than the gap.

    Args:
        penalty: Penalty of the squared weights; the bias is penalised as well.
        coordinates: `whitened`, or `standardised` (each feature to unit variance), which is better
            with fewer labels than features.
        iterations: Largest number of iterations of L-BFGS.
        kept: Whitened directions with less than this share of the largest singular value are left
            out. 1e-12 leaves out rounding errors, 1e-2 also rare directions.
    """

    penalty: PositiveFloat = 1e-5
    coordinates: CoordinatesName = "whitened"
    iterations: PositiveInt = 1000
    kept: NonNegativeFloat = ROUNDING

    @property
    def family(self) -> str:
        """What is retrained, or where the network is read."""
        return EXACT if self.reading.is_last else super().family

    @property
    def bundle(self) -> Hashable:
        """Trials that differ in the penalty alone share one decomposition."""
        return type(self), self.coordinates, self.iterations, self.kept, self.reading

    @classmethod
    def transfer_together(
        cls, trials: Sequence[ExactLastLayer], model: Classifier, attacker: Attacker
    ) -> Iterator[Snapshot]:
        """Yield all solutions once, along the path from the largest penalty to the smallest."""
        features = attacker.train.inputs
        coordinates = find_coordinates(features, trials[0].coordinates, trials[0].kept)
        inputs = coordinates(features, bias=True).cpu().numpy()
        problem = LogisticProblem(inputs, attacker.train.labels.cpu().numpy(), model.classes)
        weights = np.zeros((model.classes, inputs.shape[1]))
        solved: dict[float, tuple[Matrix, dict[str, float]]] = {}
        for trial in sorted(trials, key=lambda trial: -trial.penalty):
            weights, certificate = problem.solve(weights, trial.penalty, trial.iterations)
            solved[trial.penalty] = weights, certificate
        solutions = [solved[trial.penalty] for trial in trials]
        heads = torch.from_numpy(np.stack([weights for weights, _ in solutions]))
        certificates = tuple(certificate for _, certificate in solutions)
        # Two products of the samples with the heads for each evaluation of the objective.
        flops = 4.0 * inputs.size * model.classes * problem.evaluations
        yield Snapshot(0, LinearHeads(coordinates, heads.to(features.device)), certificates, flops)


class LinearHeads(nn.Module):
    """T heads behind one change of coordinates, in float64: `(N, D)` to `(N, T, C)`.

    Args:
        coordinates: Features `(N, D)` to `(N, R)`.
        heads: `(T, C, R + 1)`, the last column the bias.
    """

    heads: Tensor

    def __init__(self, coordinates: Coordinates, heads: Tensor) -> None:
        super().__init__()
        self.coordinates = coordinates
        self.register_buffer("heads", heads)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits `(N, T, C)`."""
        inputs = self.coordinates(features, bias=True)
        return torch.einsum("nr,tcr->ntc", inputs, self.heads)

    def as_linear(self, trial: int) -> nn.Linear:
        """Return one head and the change of coordinates folded into a linear layer."""
        weight = self.heads[trial, :, :-1] @ self.coordinates.basis.T
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(self.heads[trial, :, -1] - weight @ self.coordinates.mean)
        return linear


def best_head(features: Data, classes: int, penalty: float = 1e-3) -> nn.Linear:
    """Return the linear layer that is optimal on standardised features, applied to raw features.

    Args:
        features: `(N, D)` with labels.
        classes: C.
        penalty: Penalty of the squared weights, above 0.
    """
    coordinates = find_coordinates(features.inputs, "standardised")
    inputs = coordinates(features.inputs, bias=True).cpu().numpy()
    problem = LogisticProblem(inputs, features.labels.cpu().numpy(), classes)
    weights, _ = problem.solve(np.zeros((classes, inputs.shape[1])), penalty, iterations=200)
    heads = torch.from_numpy(weights).unsqueeze(0).to(features.inputs.device)
    return LinearHeads(coordinates, heads).as_linear(0)
