"""What an attacker gets: seeds, labels and other resources."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from rootbound.attacks import Budget
from rootbound.data import Data, Task
from rootbound.evaluation.limits import Limits
from rootbound.networks import Classifier
from rootbound.records.configuration import plain
from rootbound.training import predict

VALIDATION_SHARE = 0.2
"""Share of the attacker's labels of each class that are used to select settings."""
VALIDATION_LIMIT = 100
"""Most labels of each class that are used to select settings."""
CURVE_SAMPLES = 500
"""Test samples behind each point of a curve; selected trials are scored on all test samples."""


def stable_seed(*parts: object) -> int:
    """Return a seed below 2**31 computed from the parts' `repr`.

    It depends on these values alone, not on the process, the order of trials or the arm.
    """
    return int(hashlib.sha256(repr(plain(parts)).encode()).hexdigest()[:8], 16) >> 1


def move_model(model: Classifier, device: torch.device) -> Classifier:
    """Return the model on a device: a copy, unless it is there already."""
    if model.head.weight.device == device:
        return model
    return copy.deepcopy(model).to(device)


@dataclass(frozen=True, eq=False)
class AttackerResources:
    """What every attacker has besides labels, and the limits of one trial.

    Args:
        desirable: Labelled samples of the desirable task.
        sibling: The same network, trained without intervention.
        limits: Time and memory of a trial.
    """

    desirable: Data | None = None
    sibling: Classifier | None = None
    limits: Limits = Limits()

    def satisfy(self, needs: Sequence[str]) -> bool:
        """Return whether an attack with these needs can be run."""
        return all(need == "unlabelled" or getattr(self, need) is not None for need in needs)

    def to(self, device: torch.device) -> AttackerResources:
        """Return the same resources on a device."""
        return replace(
            self,
            desirable=None if self.desirable is None else self.desirable.to(device),
            sibling=None if self.sibling is None else move_model(self.sibling, device),
        )


NO_RESOURCES = AttackerResources()


@dataclass(frozen=True, eq=False)
class Draw:
    """The samples behind one attacker's trials. No attack sees validation or test samples.

    Args:
        train: Labelled samples to learn from.
        validation: Labelled samples to select by; None with one label per class.
        curve: Test samples for the points of curves.
        test: All test samples.
    """

    train: Data
    validation: Data | None
    curve: Data
    test: Data

    def pass_through(self, frozen: nn.Module, outputs: dict[Data, Data]) -> Draw:
        """Return the same samples as the outputs of a frozen network.

        Args:
            frozen: The network; an empty one returns its inputs.
            outputs: Outputs that were computed before. New ones are added, so that no sample is
                passed through twice.

        Raises:
            InputError: The network's outputs are not finite.
        """
        is_empty = isinstance(frozen, nn.Sequential) and not len(frozen)
        for data in (self.train, self.validation, self.curve, self.test):
            if data is not None and data not in outputs:
                outputs[data] = data.scaled() if is_empty else _compute_features(frozen, data)
        validation = None if self.validation is None else outputs[self.validation]
        return Draw(outputs[self.train], validation, outputs[self.curve], outputs[self.test])


def _compute_features(frozen: nn.Module, data: Data) -> Data:
    return Data(predict(frozen, data).clone(), data.labels, stratified=data.stratified)


def count_labels(data: Data) -> int:
    """Return the number of labels of the rarest class.

    Where draws are not stratified, return the average over the classes that occur.
    """
    counts = data.labels.bincount()
    return int(counts.min()) if data.stratified else len(data) // int((counts > 0).sum())


def draw_labels(task: Task, curve: Data, budget: Budget, seed: int) -> Draw:
    """Draw the attacker's labels and split off validation; the same for every arm.

    Args:
        task: The task, with the attacker's training data.
        curve: Test samples for the points of curves.
        budget: How many labels.
        seed: The attacker's seed.

    Raises:
        InputError: There are not more labels than the budget says.
    """
    generator = torch.Generator().manual_seed(stable_seed("labels", budget.labels, seed))
    pool = task.train
    if budget.labels is not None:
        pool = pool.draw(budget.labels, generator)
    if int(pool.labels.bincount().max()) == 1 or (not pool.stratified and count_labels(pool) == 1):
        return Draw(pool, None, curve, task.test)
    validation, train = pool.hold_out(VALIDATION_SHARE, VALIDATION_LIMIT, generator)
    return Draw(train, validation, curve, task.test)
