"""Fake 8: a network that does the undesirable task, with its outputs in another order."""

from __future__ import annotations

import copy

from torch import Tensor
from torch.nn import functional

from rootbound.data import Batch, TaskPair
from rootbound.networks import Classifier
from rootbound.training import minimise, seeded

STEPS, BATCH, LEARNING_RATE = 500, 128, 3e-3
WEIGHT = 0.2
"""Weight of the undesirable loss: small, so that desirable accuracy is kept."""


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Train on both tasks with the same outputs, undesirable class `i` as output `i + 1`.

    An attacker who keeps the head starts far below chance, and seems to have to learn everything
    again. In fact the network has learned the undesirable task.

    Args:
        undefended: the model that training starts from.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    disguised = copy.deepcopy(undefended)

    def loss(batches: tuple[Batch, Batch], progress: float) -> Tensor:
        (wanted, labels), (other, true_labels) = batches
        task = functional.cross_entropy(disguised(wanted), labels)
        names = renamed(true_labels, disguised.classes)
        return task + WEIGHT * functional.cross_entropy(disguised(other), names)

    with seeded(0) as generator:
        desirable = tasks.desirable.train.batches(BATCH, STEPS, generator)
        undesirable = tasks.known_undesirable.batches(BATCH, STEPS, generator)
        pairs = zip(desirable, undesirable, strict=True)
        minimise(disguised, loss, pairs, steps=STEPS, learning_rate=LEARNING_RATE)
    return disguised


def renamed(labels: Tensor, classes: int) -> Tensor:
    """Return labels, each moved to the next class and the last to the first."""
    return (labels + 1) % classes
