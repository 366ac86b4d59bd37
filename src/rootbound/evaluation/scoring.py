"""Scoring what attacks yield: accuracy at checkpoints, and the model that each trial offers."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from rootbound.attacks import Snapshot
from rootbound.data import Data
from rootbound.evaluation.labels import Labelled
from rootbound.training import predict


@dataclass
class Score:
    """What is known of one trial; the model is the one at its selected step.

    With few validation samples many steps tie: the latest of the best is selected. Without
    any, the last step is.
    """

    position: int
    steps: tuple[int, ...] = ()
    validation: tuple[float, ...] = ()
    test: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    selected: int = 0
    loss: float | None = None
    model: nn.Module | None = None
    certificate: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    def add(self, step: int, held: tuple[float, float] | None, test: tuple[float, float]) -> bool:
        """Append a point; return whether its model is now the selected one.

        Args:
            step: of the attack.
            held: accuracy and loss on the validation samples, where there are any.
            test: accuracy and loss on the curve's samples.
        """
        self.steps += (step,)
        self.test += (test[0],)
        self.losses += (test[1],)
        if held is not None:
            self.validation += (held[0],)
        chosen = held is None or held[0] >= self.validation[self.selected]
        if chosen:
            self.selected, self.loss = len(self.steps) - 1, None if held is None else held[1]
        return chosen


def score(snapshots: Iterator[Snapshot], trials: int, seen: Labelled, steps: int) -> list[Score]:
    """Score the snapshots at the checkpoints; one score for each trial trained together."""
    scores = [Score(position) for position in range(trials)]
    wanted = checkpoints(steps)
    for snapshot in snapshots:
        if snapshot.step and snapshot.step not in wanted:
            continue
        held = None if seen.validation is None else measure(snapshot.model, seen.validation, trials)
        curve, losses = measure(snapshot.model, seen.curve, trials)
        frozen: nn.Module | None = None
        for i, one in enumerate(scores):
            point = None if held is None else (held[0][i], held[1][i])
            if not math.isfinite(losses[i] if point is None else point[1]):
                one.error = one.error or f"outputs are not finite at step {snapshot.step}"
            elif one.error is None and one.add(snapshot.step, point, (curve[i], losses[i])):
                # The attack goes on training its model: keep it as it is now.
                frozen = copy.deepcopy(snapshot.model) if frozen is None else frozen
                one.model = frozen
            if snapshot.certificates:
                one.certificate = snapshot.certificates[i]
    for one in scores:
        if not one.steps and one.error is None:
            one.error = "the attack yielded no model"
    return scores


def measure(model: nn.Module, data: Data, trials: int) -> tuple[list[float], list[float]]:
    """Return accuracy and cross-entropy for each trial; the latter is NaN if an output is."""
    logits = predict(model, data).view(len(data), trials, -1)
    outputs, classes = logits.shape[-1], 1 + int(data.labels.max())
    if classes > outputs:  # an accelerator would end the whole process over it
        raise ValueError(f"a model of {outputs} outputs for {classes} classes")
    labels = data.labels.unsqueeze(1).expand(-1, trials)
    accuracy = (logits.argmax(-1) == labels).double().mean(0)
    loss = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(0)
    finite = torch.isfinite(logits).all(-1).all(0)
    return accuracy.tolist(), torch.where(finite, loss, math.nan).double().tolist()


def checkpoints(steps: int) -> set[int]:
    """Return the steps at which models are scored: 3, 10, 32, 100, … and the last."""
    grid = (round(10 ** (half / 2)) for half in range(1, 2 * len(str(steps)) + 1))
    return {step for step in grid if step < steps} | {steps}
