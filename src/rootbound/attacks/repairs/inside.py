"""Repairs inside blocks: gates held open, and a cut at the tensor that separates classes best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.gates import Gates, find_gates
from rootbound.attacks.repairs.network import keep_at_rest, sample
from rootbound.attacks.repairs.repair import Repair
from rootbound.core.fields import PositiveInt
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import pool_outputs
from rootbound.networks.calls import Calls
from rootbound.networks.cut_and_fix import Cut, makes_same_calls
from rootbound.networks.sample_axis import find_elsewhere

KNOWN, LOOKED_AT = 256, 128
"""Desirable and undesirable inputs that are used to find gates."""
FEW = 64
"""Inputs that are used to find along which axis samples lie."""
SCREENED = 256
"""Most labelled samples that are used to score a tensor."""
LEAST_GAIN = 0.02
"""Least explained variance that opening a gate must gain."""
RIDGE = 1e-1
"""Ridge penalty, relative to the mean square of the features."""


@dataclass(frozen=True)
class OpenGates(Repair):
    """Hold gates at the values that they have for desirable inputs.

    Every tensor inside is a candidate, whatever module or block computes it, and so is the
    direction in it that tells the tasks apart best. A gate hardly varies over desirable inputs and
    has other values for undesirable ones. Held at its desirable mean, it leaves the desirable task
    alone; so does an earlier tensor in place of one that equals it for desirable inputs only. With
    an open gate, ridge regression with each sample left out in turn tells the attacker's classes
    apart better than before. A false gradient of the gate disappears with it. A network without
    gates stays as it is.
    """

    needs: ClassVar[tuple[str, ...]] = ("desirable",)

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with open gates, as one block; the head still fits."""
        gates = attacker.find_once(self, lambda: self._find(model, attacker))
        if not gates.names:
            return model
        alike = _makes_same_calls(model, attacker)
        return Classifier(nn.Sequential(gates.hold_open(model.backbone, alike=alike)), model.head)

    def _find(self, model: Classifier, attacker: Attacker) -> Gates:
        assert attacker.desirable is not None  # `needs` says so
        known = sample(attacker.desirable, KNOWN)
        wanted, labels = attacker.train.subset(LOOKED_AT).batch(slice(None))
        targets = as_targets(labels)

        def gain(closed: Tensor, opened: Tensor) -> float:
            before, after = (explain(some.double(), targets) for some in (closed, opened))
            return 0.0 if after is None else after - max(0.0, before or 0.0) - LEAST_GAIN

        with keep_at_rest(model):
            return find_gates(model, known, wanted, gain)


@dataclass(frozen=True)
class CutInside(Repair):
    """Put a fresh head on the tensor inside that separates the attacker's classes best.

    Every tensor that a call returns is scored, wherever blocks end and along whichever axis its
    samples lie, by ridge regression on the attacker's labels with each sample left out in turn, in
    closed form. The layers after the chosen one are thrown away. Feature maps are averaged over a
    grid, as for probes, and outputs for tokens over all tokens. A tensor whose width depends on the
    longest text of a batch is left out.

    Args:
        rank: Rank of the chosen tensor; 1 is the best. Equally good tensors count as one.
    """

    rank: PositiveInt = 1

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network up to that tensor, as one block, with a head of random weights."""
        ranked = attacker.find_once(type(self), lambda: rank_tensors(model, attacker.train))
        if not ranked:
            return model
        read = pool_tokens if attacker.train.tokens else pool
        number = ranked[min(self.rank, len(ranked)) - 1]
        alike = _makes_same_calls(model, attacker)
        with keep_at_rest(model):
            elsewhere = find_elsewhere(model.backbone, sample(attacker.train, FEW))
        samples = elsewhere.get(number)
        backbone = nn.Sequential(Cut(model.backbone, number, read, alike=alike, samples=samples))
        with keep_at_rest(model):
            width = backbone(sample(attacker.train, 2)).shape[1]
        shorter = Classifier(backbone, nn.Linear(width, model.classes))
        return shorter.with_head(model.classes, attacker.seed())


def _makes_same_calls(model: Classifier, attacker: Attacker) -> bool:
    return attacker.find_once(
        makes_same_calls, lambda: makes_same_calls(model.backbone, sample(attacker.train, 2))
    )


def rank_tensors(model: Classifier, train: Data) -> list[int]:
    """Return the numbers of the calls whose tensors separate classes, the best first."""
    data = train.subset(SCREENED)
    inputs, labels = data.batch(slice(None))
    with keep_at_rest(model):
        read = pool_tokens if data.tokens else pool
        scores = score_tensors(model.backbone, inputs, labels, read)
        if data.tokens:
            alike = find_alike(model.backbone, inputs)
            scores = {number: score for number, score in scores.items() if number in alike}
    return sorted(scores, key=lambda number: -scores[number])


@torch.no_grad()
def score_tensors(
    backbone: nn.Module, inputs: Tensor, labels: Tensor, read: Callable[[Tensor], Tensor]
) -> dict[int, float]:
    """Return, by the number of the call, how well a tensor inside separates the classes.

    Of several tensors with the same value only the first is returned.
    """
    scores: dict[int, float] = {}
    targets = as_targets(labels)
    # The width of what is computed for texts often depends on the longest text of a batch.
    elsewhere = {} if read is pool_tokens else find_elsewhere(backbone, inputs)

    def score_tensor(number: int, _: str, tensor: Tensor) -> Tensor:
        rows: Tensor | None = tensor
        if number in elsewhere:
            rows = elsewhere[number].put_first(tensor, len(inputs))
        if rows is None or not rows.is_floating_point() or rows.dim() < 2:
            return tensor
        if len(rows) == len(inputs):
            score = explain(read(rows).double(), targets)
            if score is not None and not any(abs(score - one) < 1e-9 for one in scores.values()):
                scores[number] = score
        return tensor

    with Calls(score_tensor):
        backbone(inputs)
    return scores


@torch.no_grad()
def find_alike(backbone: nn.Module, tokens: Tensor) -> set[int]:
    """Return the numbers of the calls that have the same name and width for any text length."""
    shorter = tokens.clone()
    shorter[:, max(1, tokens.shape[1] // 2) :] = 0
    courses = [_list_calls(backbone, some) for some in (tokens, shorter, tokens.clamp(min=1))]
    alike = set()
    for number, calls in enumerate(zip(*courses, strict=False)):
        if len({name for name, _ in calls}) > 1:
            break  # from here on the numbers belong to different calls
        if len(set(calls)) == 1:
            alike.add(number)
    return alike


def _list_calls(backbone: nn.Module, inputs: Tensor) -> list[tuple[str, int]]:
    """Return the name and the number of features of each call that returns features."""
    calls: list[tuple[str, int]] = []

    def note(_: int, name: str, tensor: Tensor) -> Tensor:
        has_rows = tensor.dim() > 1 and len(tensor) == len(inputs)
        calls.append((name, pool_tokens(tensor.float()).shape[1] if has_rows else 0))
        return tensor

    with Calls(note):
        backbone(inputs)
    return calls


def as_targets(labels: Tensor) -> Tensor:
    """Return labels `(N,)` as what features are to explain, centred: a column for each class."""
    targets = functional.one_hot(labels).double()
    return targets - targets.mean(0)


def pool_tokens(outputs: Tensor) -> Tensor:
    """Return features `(N, D)`, averaged over all dimensions between samples and features."""
    return outputs.flatten(1, -2).mean(1) if outputs.dim() > 2 else outputs


def pool(outputs: Tensor) -> Tensor:
    """Reduce any tensor with a row for each sample to features `(N, D)`."""
    outputs = outputs.flatten(1, outputs.dim() - 3) if outputs.dim() > 4 else outputs
    return pool_outputs(_NO_BLOCK, outputs)


_NO_BLOCK = nn.Identity()


def explain(features: Tensor, targets: Tensor) -> float | None:
    """Return the share of the targets' variance explained with each sample left out in turn.

    Return None if none of it is.

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
