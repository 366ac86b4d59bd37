"""Scoring the models that attacks yield: accuracy at checkpoints, and the best model of a trial."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks import Snapshot
from rootbound.core import progress
from rootbound.data import Data
from rootbound.evaluation.attacker import Draw
from rootbound.training import balanced_accuracy, predict


@dataclass(frozen=True)
class FinalScore:
    """How good a model is on the whole test set.

    Args:
        accuracy: Share of the samples that it classifies correctly.
        balanced: Balanced accuracy, in which every class counts the same; None where labels are
            the next tokens, whose classes should not count the same.
        halves: Accuracy on the samples at even and at odd positions.
    """

    accuracy: float
    balanced: float | None
    halves: tuple[float, ...]


@dataclass
class Score:
    """The score of one trial so far.

    The selected step is the one with the best accuracy on validation samples; with few of them
    many steps tie, and the latest of the best is selected. Without validation samples it is the
    last step.

    Args:
        position: The trial's place among those that are trained together.
        trials: How many are trained together.
        steps: The steps at which the trial was scored.
        validation: Accuracy on the validation samples at these steps, if there are such samples.
        test: Accuracy on the curve's samples at these steps.
        losses: Cross-entropy on the curve's samples at these steps.
        selected: Index of the selected step.
        loss: Cross-entropy on the validation samples at the selected step.
        model: The model at the selected step; its outputs are those of all trials trained together.
        certificate: Numbers that prove how good the trial is.
        error: Why the trial failed.
    """

    position: int = 0
    trials: int = 1
    steps: tuple[int, ...] = ()
    validation: tuple[float, ...] = ()
    test: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    selected: int = 0
    loss: float | None = None
    model: nn.Module | None = None
    certificate: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    def add(
        self, step: int, validation: tuple[float, float] | None, test: tuple[float, float]
    ) -> bool:
        """Append a point; return whether its model is now the selected one.

        Args:
            step: The attack's step.
            validation: Accuracy and loss on the validation samples, if there are any.
            test: Accuracy and loss on the curve's samples.
        """
        self.steps += (step,)
        self.test += (test[0],)
        self.losses += (test[1],)
        if validation is not None:
            self.validation += (validation[0],)
        chosen = validation is None or validation[0] >= self.validation[self.selected]
        if chosen:
            self.selected = len(self.steps) - 1
            self.loss = None if validation is None else validation[1]
        return chosen

    def score_selected(self, data: Data) -> FinalScore:
        """Return how good the selected model is on the test set."""
        assert self.model is not None  # a trial without error has one
        logits = _compute_logits(self.model, data, self.trials)
        correct = _find_correct(logits, data)[:, self.position : self.position + 1]
        (share,) = balanced_accuracy(correct, data.labels)
        right = correct.double()
        # Each half has its share of every class, however the samples are ordered.
        by_class = right[data.labels.argsort(stable=True)]
        halves = (by_class[half::2] if len(right) > 1 else right for half in (0, 1))
        return FinalScore(
            float(right.mean()),
            share if data.stratified else None,
            tuple(float(half.mean()) for half in halves),
        )


def score(snapshots: Iterator[Snapshot], trials: int, draw: Draw, steps: int) -> list[Score]:
    """Score the snapshots at the checkpoints; one score for each trial trained together."""
    scores = [Score(position, trials) for position in range(trials)]
    scored_steps = list_checkpoints(steps)
    for snapshot in _show_progress(snapshots, steps):
        if snapshot.step and snapshot.step not in scored_steps:
            continue
        held_out = draw.validation
        validation = None if held_out is None else measure(snapshot.model, held_out, trials)
        curve, losses = measure(snapshot.model, draw.curve, trials)
        frozen: nn.Module | None = None
        for i, trial in enumerate(scores):
            point = None if validation is None else (validation[0][i], validation[1][i])
            if not math.isfinite(losses[i] if point is None else point[1]):
                trial.error = trial.error or f"outputs are not finite at step {snapshot.step}"
            elif trial.error is None and trial.add(snapshot.step, point, (curve[i], losses[i])):
                # The attack goes on training its model: keep a copy of it as it is now.
                frozen = copy.deepcopy(snapshot.model) if frozen is None else frozen
                trial.model = frozen
            if snapshot.certificates:
                trial.certificate = snapshot.certificates[i]
    for trial in scores:
        if not trial.steps and trial.error is None:
            trial.error = "the attack yielded no model"
    return scores


def _show_progress(snapshots: Iterator[Snapshot], steps: int) -> Iterator[Snapshot]:
    """Yield the snapshots, and show the attack's progress."""
    with progress.step("step", steps) as shown:
        for snapshot in snapshots:
            shown.reach(snapshot.step)
            yield snapshot


def measure(model: nn.Module, data: Data, trials: int) -> tuple[list[float], list[float]]:
    """Return accuracy and cross-entropy for each trial; the latter is NaN if an output is."""
    logits = _compute_logits(model, data, trials)
    accuracy = _find_correct(logits, data).double().mean(0)
    labels = data.labels.unsqueeze(1).expand(-1, trials)
    loss = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(0)
    finite = torch.isfinite(logits).all(-1).all(0)
    return accuracy.tolist(), torch.where(finite, loss, math.nan).double().tolist()


def _compute_logits(model: nn.Module, data: Data, trials: int) -> Tensor:
    """Return the outputs `(N, trials, classes)`."""
    logits = predict(model, data).view(len(data), trials, -1)
    outputs, classes = logits.shape[-1], 1 + int(data.labels.max())
    if classes > outputs:  # on an accelerator, this would end the whole process
        raise ValueError(f"a model of {outputs} outputs for {classes} classes")
    return logits


def _find_correct(logits: Tensor, data: Data) -> Tensor:
    """Return whether the largest output is that of the label `(N, trials)`."""
    return logits.argmax(-1) == data.labels.unsqueeze(1)


def list_checkpoints(steps: int) -> set[int]:
    """Return the steps at which models are scored: 3, 10, 32, 100, … and the last."""
    grid = (round(10 ** (half / 2)) for half in range(1, 2 * len(str(steps)) + 1))
    return {step for step in grid if step < steps} | {steps}
