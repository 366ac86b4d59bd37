"""A comparison that takes seconds and has every stage, for tests of failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import rootbound as rb
from few import SUITE
from rootbound.evaluation import compare
from rootbound.execution import Engine
from rootbound.methods import AdversarialHead, Plain
from rootbound.records import Diagnosis, Evaluation, Record, Training
from rootbound.suites import Suite
from rootbound.training import Recipe
from toy import toy_dataset

RECIPE = Recipe(epochs=1, batch_size=30)


def run(folder: Path | str | None, workers: int | Engine = 1, suite: Suite = SUITE) -> Evaluation:
    """Run the comparison, or what is missing of it."""
    torch.set_num_threads(1)
    methods = (Plain(RECIPE), AdversarialHead(RECIPE, heads=1, hidden=0, undesirable_batch_size=30))
    tasks = toy_dataset().split([0, 1, 2], [3, 4, 5])
    model = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
    return compare(methods, tasks, model, suite=suite, seeds=1, workers=workers, folder=folder)


def timeless(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return everything that was found, in order, without the seconds."""
    entries: list[Training | Diagnosis | Record] = [*evaluation.trainings]
    entries += [*evaluation.diagnoses, *evaluation.records]
    return [
        {name: value for name, value in vars(entry).items() if name != "seconds"}
        for entry in entries
    ]
