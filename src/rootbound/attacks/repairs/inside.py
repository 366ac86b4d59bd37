"""Repairs inside blocks: gates held open, and a cut at the tensor that tells classes apart best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.gates import Gates, find_gates
from rootbound.attacks.repairs.network import at_rest, sample
from rootbound.attacks.repairs.repair import Repair
from rootbound.core.fields import PositiveInt
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import pool_outputs
from rootbound.networks.calls import Calls
from rootbound.networks.met_inside import Cut, goes_alike

LOOKED_AT = 64
"""Inputs of each task by which gates are found."""
SCREENED = 256
"""Labelled samples by which a tensor is judged, at most."""
LEAST_GAIN = 0.02
"""Explained variance that a gate must have hidden."""
RIDGE = 1e-1
"""Relative to the mean square of the features."""


@dataclass(frozen=True)
class OpenGates(Repair):
    """Hold what lets desirable inputs pass where it is for them, for every input.

    Every tensor inside counts, whatever module or block computes it. A gate hardly varies over
    desirable inputs and is elsewhere for undesirable ones; fixed at its desirable mean it leaves
    the desirable task alone, and the attacker's classes are told apart better than before, by
    ridge regression with each sample left out in turn. Gradients that the network makes up go
    with it. A network in which nothing is found stays as it is.
    """

    needs: ClassVar[tuple[str, ...]] = ("desirable",)

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with open gates, as one block; the head still fits."""
        gates = attacker.find_once(self, lambda: self._find(model, attacker))
        if not gates.names:
            return model
        alike = _goes_alike(model, attacker)
        return Classifier(nn.Sequential(gates.hold_open(model.backbone, alike=alike)), model.head)

    def _find(self, model: Classifier, attacker: Attacker) -> Gates:
        assert attacker.desirable is not None  # it is needed
        known = sample(attacker.desirable, LOOKED_AT)
        wanted, labels = attacker.train.subset(2 * LOOKED_AT).batch(slice(None))
        targets = _as_targets(labels)

        def gain(closed: Tensor, opened: Tensor) -> float:
            before, after = (_explained(some.double(), targets) for some in (closed, opened))
            return 0.0 if after is None else after - max(0.0, before or 0.0) - LEAST_GAIN

        with at_rest(model):
            return find_gates(model, known, wanted, gain)


@dataclass(frozen=True)
class CutInside(Repair):
    """Put a fresh head on the tensor inside that tells the attacker's classes apart best.

    Every tensor that a call returns is judged, wherever blocks end, by ridge regression on the
    attacker's labels with each sample left out in turn, in closed form. What comes after it is
    thrown away. Maps are averaged over a grid, as for probes; what belongs to tokens over all of
    them, and a tensor as wide as the longest text of a batch is left out.

    Args:
        rank: Which of the tensors, the best being 1; of those that are judged alike, the first.
    """

    rank: PositiveInt = 1

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network up to there, as one block, with a head of random weights."""
        ranked = attacker.find_once(type(self), lambda: rank_tensors(model, attacker.train))
        if not ranked:
            return model
        read = pool_tokens if attacker.train.tokens else pool
        number = ranked[min(self.rank, len(ranked)) - 1]
        alike = _goes_alike(model, attacker)
        backbone = nn.Sequential(Cut(model.backbone, number, read, alike=alike))
        with at_rest(model):
            width = backbone(sample(attacker.train, 2)).shape[1]
        shorter = Classifier(backbone, nn.Linear(width, model.classes))
        return shorter.with_head(model.classes, attacker.seed())


def _goes_alike(model: Classifier, attacker: Attacker) -> bool:
    return attacker.find_once(
        goes_alike, lambda: goes_alike(model.backbone, sample(attacker.train, 2))
    )


def rank_tensors(model: Classifier, train: Data) -> list[int]:
    """Return the numbers of the calls whose tensors tell classes apart, the best first."""
    data = train.subset(SCREENED)
    inputs, labels = data.batch(slice(None))
    with at_rest(model):
        read = pool_tokens if data.tokens else pool
        scores = judge_tensors(model.backbone, inputs, labels, read)
        if data.tokens:
            alike = find_alike(model.backbone, inputs)
            scores = {number: score for number, score in scores.items() if number in alike}
    return sorted(scores, key=lambda number: -scores[number])


@torch.no_grad()
def judge_tensors(
    backbone: nn.Module, inputs: Tensor, labels: Tensor, read: Callable[[Tensor], Tensor]
) -> dict[int, float]:
    """Return, by the number of the call, how well a tensor inside tells classes apart.

    Tensors of which the same is said are one: only the first of them is returned.
    """
    scores: dict[int, float] = {}
    targets = _as_targets(labels)

    def judge(number: int, _: str, tensor: Tensor) -> Tensor:
        if tensor.is_floating_point() and tensor.dim() > 1 and len(tensor) == len(inputs):
            score = _explained(read(tensor).double(), targets)
            if score is not None and not any(abs(score - one) < 1e-9 for one in scores.values()):
                scores[number] = score
        return tensor

    with Calls(judge):
        backbone(inputs)
    return scores


@torch.no_grad()
def find_alike(backbone: nn.Module, tokens: Tensor) -> set[int]:
    """Return the numbers of calls that are the same, and as wide, however long texts are."""
    shorter = tokens.clone()
    shorter[:, max(1, tokens.shape[1] // 2) :] = 0
    courses = [_list_calls(backbone, some) for some in (tokens, shorter, tokens.clamp(min=1))]
    alike = set()
    for number, calls in enumerate(zip(*courses, strict=False)):
        if len({name for name, _ in calls}) > 1:
            break  # from here on a number is another call
        if len(set(calls)) == 1:
            alike.add(number)
    return alike


def _list_calls(backbone: nn.Module, inputs: Tensor) -> list[tuple[str, int]]:
    """Return the name of each call, and how many features it makes; none where it makes none."""
    calls: list[tuple[str, int]] = []

    def note(_: int, name: str, tensor: Tensor) -> Tensor:
        has_rows = tensor.dim() > 1 and len(tensor) == len(inputs)
        calls.append((name, pool_tokens(tensor.float()).shape[1] if has_rows else 0))
        return tensor

    with Calls(note):
        backbone(inputs)
    return calls


def _as_targets(labels: Tensor) -> Tensor:
    targets = functional.one_hot(labels).double()
    return targets - targets.mean(0)


def pool_tokens(outputs: Tensor) -> Tensor:
    """Return features `(N, D)`, averaged over all that stands between samples and features."""
    return outputs.flatten(1, -2).mean(1) if outputs.dim() > 2 else outputs


def pool(outputs: Tensor) -> Tensor:
    """Return features `(N, D)` of any tensor that has a row for each sample."""
    outputs = outputs.flatten(1, outputs.dim() - 3) if outputs.dim() > 4 else outputs
    return pool_outputs(_NO_BLOCK, outputs)


_NO_BLOCK = nn.Identity()


def _explained(features: Tensor, targets: Tensor) -> float | None:
    """Return the share of the targets' variance explained, each sample left out; None if none is.

    `e_i = (G + n r I)^-1 y / diag((G + n r I)^-1)` with G the Gram matrix of standardised
    features, centred (R. Rifkin, R. Lippert, "Notes on Regularized Least Squares", 2007).
    """
    centred = features - features.mean(0)
    deviations = centred.std(0)
    alive = deviations > 1e-7 * features.abs().amax()
    if not bool(features.isfinite().all()) or not bool(alive.any()):
        return None
    centred = centred[:, alive] / deviations[alive]
    gram = centred @ centred.T / centred.shape[1]
    gram = gram + 1.0 / len(gram)  # an intercept, hardly penalised
    inverse = torch.linalg.inv(gram + RIDGE * torch.eye(len(gram), dtype=gram.dtype))
    errors = inverse @ targets / inverse.diagonal().unsqueeze(1)
    return 1.0 - float(errors.square().sum() / targets.square().sum())
