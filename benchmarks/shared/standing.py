"""The standing setting for photographs: what is trained, what attacks it, and a row of a table.

A ResNet-20 of 8 channels, with or without its norms, on CIFAR-10 of 16x16 pixels. A fifth of the
training images takes the test set's place, so that settings may be chosen by what is measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from benchmarks.shared.held_out import hold_out
from benchmarks.shared.photographs import CLASSES
from benchmarks.shared.settings import write_settings
from benchmarks.shared.ways import list_ways
from rootbound.attacks import (
    Attack,
    Budget,
    DiscriminantHead,
    ExactLastLayer,
    FineTune,
    Reading,
    RidgeHead,
)
from rootbound.attacks.repairs import Repaired, Truncate
from rootbound.data import TaskPair
from rootbound.datasets import fitted, load
from rootbound.evaluation.attacker import NO_RESOURCES
from rootbound.evaluation.harness import run_assignment
from rootbound.evaluation.plan import Assignment, Subject
from rootbound.networks import Classifier, resnet_20
from rootbound.training import accuracy

SIDE, WIDTH = 16, 8
"""Pixels of an image's side, and channels of the network's first group."""
SHARE = 5
"""One training image in so many takes the test set's place."""
SCRATCH = "random weights"
BUDGET, DRAWS, STRONGEST = Budget(100, 120), 3, 2
"""What attackers may spend, their draws of labels, and how many attacks make a head start."""
ATTACKS: dict[str, Attack] = {
    "exact last layer": ExactLastLayer(1e-3, "standardised"),
    "ridge, all blocks": RidgeHead(1e-1, "whitened", reading=Reading("all")),
    "discriminant, all blocks": DiscriminantHead(0.1, reading=Reading("all")),
    "fine-tuning, slow": FineTune(None, "kept", "adam", 2e-3),
    "fine-tuning, fast": FineTune(None, "kept", "adam", 8e-3),
    "last block cut off": Repaired(Truncate(1), FineTune(None, "kept", "adam", 2e-3)),
}


@dataclass(frozen=True)
class Row:
    """What one model keeps and what it is worth to attackers, in percent.

    Args:
        way: A key of `list_ways`, or `SCRATCH`.
        settings: The method and its settings, as text.
        classes: A key of `CLASSES`.
        norms: Whether the network has its norms.
        epochs: Passes over the desirable images.
        seed: Seed of the training; the draws of labels depend on it.
        seconds: Seconds that training took.
        desirable: Accuracy on the desirable classes; None for random weights.
        reached: What each attack reaches on each draw.
    """

    way: str
    settings: str
    classes: str
    norms: bool
    epochs: int
    seed: int
    seconds: float
    desirable: float | None
    reached: dict[str, list[float]]

    @property
    def strongest(self) -> float:
        """Mean of the strongest attacks, each a mean over draws."""
        means = sorted(statistics.mean(values) for values in self.reached.values())
        return statistics.mean(means[-STRONGEST:])


@dataclass(frozen=True)
class Setting:
    """What all rows of a table have in common; `Row` says what the fields mean."""

    classes: str
    norms: bool
    epochs: int

    def network(self, seed: int) -> Classifier:
        """Return the network with random weights."""
        classes = len(CLASSES[self.classes][0])
        model = resnet_20(classes=classes, shape=(3, SIDE, SIDE), width=WIDTH)
        return (model if self.norms else without_norms(model)).reinitialised(seed)

    def make_row(self, way: str, tasks: TaskPair, seed: int) -> Row:
        """Train a network in one way, and attack it."""
        model, started = self.network(seed), time.perf_counter()
        method = None if way == SCRATCH else list_ways(self.epochs)[way]
        if method is not None:
            model = method.fit(model, tasks, seed=seed)
        seconds = time.perf_counter() - started
        kept = None if method is None else 100 * accuracy(model, tasks.desirable.test)
        return Row(
            way, write_settings(method), self.classes, self.norms, self.epochs, seed, seconds, kept,
            attack(model, tasks, seed, ATTACKS, anew=method is None),
        )  # fmt: skip


def without_norms(model: Classifier) -> Classifier:
    """Return the network with nothing in the place of its batch norms."""
    backbone = model.backbone
    for module in backbone.modules():
        for name, part in module.named_children():
            if isinstance(part, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return Classifier.wrap(nn.Sequential(backbone, model.head))


def attack(
    model: Classifier,
    tasks: TaskPair,
    seed: int,
    attacks: Mapping[str, Attack],
    *,
    anew: bool,
) -> dict[str, list[float]]:
    """Return what each attack reaches on each draw, from weights drawn anew for each if asked."""
    subject = Subject("defended", "", seed, model)
    reached: dict[str, list[float]] = {name: [] for name in attacks}
    for draw in range(DRAWS * seed, DRAWS * (seed + 1)):
        for name, trial in attacks.items():
            weights = 77 * draw if anew else None
            assignment = Assignment(subject, (trial,), (BUDGET,), draw, weights=weights)
            (record,) = run_assignment(assignment, tasks.undesirable, NO_RESOURCES)
            if record.accuracy is None:
                raise RuntimeError(f"{name} failed: {record.error}")
            reached[name].append(100 * record.accuracy)
    return reached


def load_tasks(data: str, classes: str) -> TaskPair:
    """Return the tasks, with training images in the test set's place."""
    full = fitted(load(data), (3, SIDE, SIDE))
    order = torch.randperm(len(full.train), generator=torch.Generator().manual_seed(0))
    judged, learned = order[: len(order) // SHARE], order[len(order) // SHARE :]
    return hold_out(full, learned, judged).split(*CLASSES[classes])
