"""The standing setting for photographs: small enough that two cores tell two settings apart.

python -m benchmarks.studies.standing CIFAR10 FOLDER [--classes animals] [--without-norms]
                                      [--seeds 3] [--epochs 6] [--methods NAME ...] [--workers 2]

A ResNet-20 of 8 channels, with or without its norms, on CIFAR-10 of 16x16 pixels. A fifth of the
training images takes the test set's place, so that settings may be chosen by what this prints.
Attacks are those of `quick-2` that win on photographs, with its draws of labels. Beside the methods
named stand the undefended network, random weights, and the floors: features that the same images
teach without labels (`benchmarks/shared/floors.py`). An interrupted run goes on in FOLDER. A
Markdown table is printed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from benchmarks.shared.floors import Rotations, ShuffledLabels, TwoViews
from benchmarks.shared.held_out import held_out
from benchmarks.shared.photographs import CLASSES
from rootbound import metrics
from rootbound.attacks import Budget, ExactLastLayer, FineTune, Repaired, repairs
from rootbound.data import Augmentation
from rootbound.datasets import fitted, load
from rootbound.evaluation import compare
from rootbound.methods import METHODS, Method, Plain
from rootbound.networks import Classifier, resnet_20
from rootbound.records import EXACT, Evaluation
from rootbound.report.cells import in_words
from rootbound.suites import QUICK_2
from rootbound.training import Recipe

SIDE, WIDTH = 16, 8
"""Pixels of an image's side, and channels of the network's first group."""
SHARE = 5
"""One training image in so many takes the test set's place."""
WINNING = replace(
    QUICK_2,
    name="quick-2 on photographs",
    attacks=tuple(
        attack
        for attack in QUICK_2.attacks
        if attack.family in (EXACT, "probe, all blocks")
        or isinstance(attack, FineTune)
        or (
            isinstance(attack, Repaired)
            and isinstance(attack.repair, repairs.ReinitialiseLast | repairs.Truncate)
            and not isinstance(attack.attack, ExactLastLayer)
        )
    ),
    budgets=(Budget(10, 60), Budget(100, 120)),
    controls=False,
)


def without_norms(model: Classifier) -> Classifier:
    """Return the network with nothing in the place of its batch norms."""
    backbone = model.backbone
    for module in backbone.modules():
        for name, part in module.named_children():
            if isinstance(part, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return Classifier.wrap(nn.Sequential(backbone, model.head))


def list_methods(names: list[str], epochs: int) -> list[Method]:
    """Return the methods to train, all with the same recipe."""
    recipe = Recipe(epochs, learning_rate=1e-2, augmentation=Augmentation(shift=2, flip=True))
    own = [replace(METHODS[name](), recipe=recipe) for name in names]
    return [*own, Plain(recipe), Rotations(recipe), ShuffledLabels(recipe), TwoViews(recipe)]


def describe(evaluation: Evaluation) -> str:
    """Return the table."""
    budgets = metrics.budgets(evaluation)
    titles = ["method", "desirable, %", "price, points"]
    titles += [f"head start, {in_words(labels)}" for labels in budgets]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for method in metrics.methods(evaluation):
        if method == "scratch":
            continue
        change = metrics.desirable_change(evaluation, method)
        cells = [
            _say(metrics.desirable_accuracy(evaluation, method)),
            _say(None if change is None else -change),
            *(_say(metrics.advantage(evaluation, method, labels)) for labels in budgets),
        ]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _say(value: metrics.Estimate | None) -> str:
    if value is None:
        return "–"
    return f"{value.mean:.1f} ({value.low:.1f} to {value.high:.1f})"


def main() -> None:
    """Run the setting and print what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", choices=CLASSES, default="animals")
    parser.add_argument("--without-norms", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--methods", nargs="*", default=["BestResponse"])
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    full = fitted(load(arguments.data), (3, SIDE, SIDE))
    order = torch.randperm(len(full.train), generator=torch.Generator().manual_seed(0))
    judged, learned = order[: len(order) // SHARE], order[len(order) // SHARE :]
    desirable, undesirable = CLASSES[arguments.classes]
    tasks = held_out(full, learned, judged).split(desirable, undesirable)
    model = resnet_20(classes=len(desirable), shape=(3, SIDE, SIDE), width=WIDTH)
    evaluation = compare(
        list_methods(arguments.methods, arguments.epochs),
        tasks,
        without_norms(model) if arguments.without_norms else model,
        suite=WINNING,
        seeds=arguments.seeds,
        workers=arguments.workers,
        folder=arguments.folder,
    )
    print(describe(evaluation))


if __name__ == "__main__":
    main()
