"""A given ResNet-20 made resistant to clothes in a third of its epochs: at which rate?

python benchmarks/existing_model.py CIFAR10 [--fashion FOLDER] [--epochs 3] [--width 16]
                                    [--precision bfloat16] [--device cpu] [--test]
                                    [--only NAME ...]

CIFAR10: as `--data` takes it; FOLDER likewise, of Fashion-MNIST. A fifth of each training set takes
the test set's place, so that what `examples/existing_model.sh` sets may be chosen by what this
prints; `--test` is for what is reported. The given model is `Plain` on animals; every row after it
is that model after `BestResponse`. Attacked with 100 labels a class, two draws: the exact last
layer, linear probes of the block before and of all blocks at once, and the better by test accuracy
of two fine-tunings, on the 500 test images of the harness's curves.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace

import torch

from photographs import CLASSES, a_fifth_aside
from rootbound.attacks import Attack, Budget, ExactLastLayer, FineTune, Suite
from rootbound.attacks.probes import Reading, RidgeHead
from rootbound.augmentation import Augmentation
from rootbound.datasets import fitted, load
from rootbound.devices import PRECISIONS, find_device, on
from rootbound.evaluation import Subject, attack
from rootbound.memory import keep_freed_memory
from rootbound.methods import BestResponse, Plain
from rootbound.models import Classifier, resnet_20
from rootbound.tasks import Task, TaskPair
from rootbound.training import Recipe, accuracy

LAST: tuple[Attack, ...] = (ExactLastLayer(1e-3, "standardised"),)
BELOW: tuple[Attack, ...] = (RidgeHead(1e-1, "standardised", reading=Reading(1)),)
ALL: tuple[Attack, ...] = (RidgeHead(1e-1, "standardised", reading=Reading("all")),)
TUNED: tuple[Attack, ...] = tuple(FineTune(None, "kept", "adam", rate) for rate in (2e-3, 8e-3))
KINDS = (LAST, BELOW, ALL, TUNED)
BUDGET = Budget(100, 80)
DRAWS = 2
SCORED = 4000
"""Test images of which those are taken, evenly."""


def worth(name: str, model: Classifier, task: Task) -> list[float]:
    """Return the percentages of the best attack of each kind, means over draws of labels."""
    shorter = replace(task, test=task.test.subset(SCORED))
    found = []
    for kind in KINDS:
        best = []
        for draw in range(DRAWS):
            drawn = model.reinitialised(draw) if name == "random weights" else model
            records = attack(
                Subject("defended", name, draw, drawn), shorter, Suite("one", kind, (BUDGET,))
            )
            best.append(100 * max(record.test[-1] for record in records if record.test))
        found.append(statistics.fmean(best))
    return found


def row(name: str, model: Classifier, tasks: TaskPair) -> str:
    """Return a line of the table."""
    kept = 100 * accuracy(model, tasks.desirable.test)
    numbers = " | ".join(f"{value:.1f}" for value in worth(name, model, tasks.undesirable))
    return f"| {name} | {kept:.2f} | {numbers} |"


def candidates(recipe: Recipe) -> Sequence[tuple[str, BestResponse]]:
    """Return what may be set, by name."""
    rates = [(f"peak rate {rate:g}", rate) for rate in (1e-3, 3e-3, 1e-2)]
    ours = [(name, BestResponse(replace(recipe, learning_rate=rate))) for name, rate in rates]
    further = [(f"{name}, at once", replace(one, wait=0.0)) for name, one in ours[1:]]
    name, last = further[-1]
    return (
        *ours,
        *further,
        (f"{name}, depth weight 5", replace(last, depth_weight=5.0)),
        (f"{name}, depth weight 10", replace(last, depth_weight=10.0)),
        (
            f"{name}, depth weight 10, first block trained to the end",
            replace(last, depth_weight=10.0, settled=1.0),
        ),
    )


def main(options: argparse.Namespace) -> None:
    """Read the data, and do the rest where the device is."""
    keep_freed_memory()
    torch.set_num_threads(1)
    data, clothes = load(options.data), load(options.fashion)
    if not options.test:
        data, clothes = a_fifth_aside(data), a_fifth_aside(clothes)
    wanted = data.split(*CLASSES["animals"]).desirable
    unwanted = fitted(clothes, wanted.train.shape).task(range(10))
    device = find_device(options.device)
    with on(device):
        table(options, TaskPair.of(wanted, unwanted).to(device))


def table(options: argparse.Namespace, tasks: TaskPair) -> None:
    """Train, make resistant, and print the table."""
    recipe = Recipe(
        options.epochs,
        learning_rate=1e-2,
        augmentation=Augmentation(shift=3, flip=True),
        precision=options.precision,
    )
    model = resnet_20(len(tasks.desirable.classes), width=options.width)
    model.to(torch.get_default_device())
    print("| model | desirable | last layer | block below | all blocks | fine-tuned |")
    print("|---|---|---|---|---|---|")
    print(row("random weights", model, tasks), flush=True)
    given = Plain(recipe).fit(model, tasks)
    print(row("as given", given, tasks), flush=True)
    for name, method in candidates(replace(recipe, epochs=max(1, options.epochs // 3))):
        if not options.only or name in options.only:
            print(row(name, method.fit(given, tasks), tasks), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--fashion", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--precision", choices=PRECISIONS, default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--only", nargs="*")
    main(parser.parse_args())
