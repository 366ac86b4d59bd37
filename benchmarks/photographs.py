"""CIFAR-10 animals | vehicles, ResNet-20: what resistance costs, and what any features are worth.

python benchmarks/photographs.py CIFAR10 [--fashion FOLDER] [--epochs 6] [--only NAME ...]

CIFAR10: the data set as `--data` takes it. A fifth of its training images takes the test set's
place, so that settings may be chosen by what this prints. Every model is attacked with 10 and 100
labels a class by the same six trials; the best of each number of labels by test accuracy is shown,
which flatters every row alike. Beside BestResponse stand `Plain`, random weights, features learned
from clothes, and a network whose first blocks are random. Trials are kept in
results/photographs.jsonl, where an interrupted run goes on; a Markdown table is printed.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from rootbound.attacks import Attack, Budget, ExactLastLayer, FineTune, Repaired, Suite
from rootbound.attacks.repairs import ReinitialiseLast
from rootbound.augmentation import Augmentation
from rootbound.datasets import Dataset, load
from rootbound.evaluation import Subject, attack
from rootbound.memory import keep_freed_memory
from rootbound.methods import BestResponse, GenericFeatures, Method, Plain
from rootbound.models import resnet_20
from rootbound.tasks import TaskPair
from rootbound.training import Recipe, accuracy

TRIALS = Path(__file__).parent / "results" / "photographs.jsonl"
ANIMALS, VEHICLES = (2, 3, 4, 5, 6, 7), (0, 1, 8, 9)
EXACT = Suite("exact", (ExactLastLayer(1e-3, "standardised"),), (Budget(None, 1),))
TUNED: tuple[Attack, ...] = (
    *(FineTune(None, "kept", "adam", rate) for rate in (2e-3, 8e-3)),
    *(Repaired(ReinitialiseLast(last), FineTune(None, "kept", "adam", 4e-3)) for last in (3, 6)),
)
SUITE = Suite("photographs", TUNED, (Budget(10, 60), Budget(100, 80)))
DRAWS = 2


@dataclass(frozen=True)
class Trial:
    """What one model keeps and what it is worth to attackers, in percent.

    Args:
        name: of the variant.
        settings: the method as Python would write it.
        epochs: over the desirable images.
        seconds: of training.
        desirable: accuracy on held-out animals.
        exact: of the best last layer for vehicles, with all labels.
        few: of the strongest attack with 10 labels a class, mean over draws of labels.
        more: of the strongest attack with 100 labels a class.
    """

    name: str
    settings: str
    epochs: int
    seconds: float
    desirable: float
    exact: float
    few: float
    more: float


def variants(epochs: int, fashion: str) -> dict[str, Method | None]:
    """Return what is trained, by name; None where weights stay random."""
    augmentation = Augmentation(shift=3, flip=True)
    recipe = Recipe(epochs, learning_rate=1e-2, augmentation=augmentation)
    ours = BestResponse(recipe, undesirable_batch_size=160)
    return {
        "Plain": Plain(recipe),
        "random weights": None,
        "features of clothes": GenericFeatures(replace(recipe, epochs=3), fashion),
        "first four blocks random": BestResponse(recipe, 16, weight=0, fixed_blocks=4),
        "last block only": replace(ours, depth_weight=0.0),
        "BestResponse": ours,
        "weight 0.2": replace(ours, weight=0.2),
        "depth weight 2": replace(ours, depth_weight=2.0),
        "depth weight 6": replace(ours, depth_weight=6.0),
        "first four blocks random, too": replace(ours, fixed_blocks=4),
    }


def held_out(name: str) -> TaskPair:
    """Return animals and vehicles with a fifth of the training images as test images."""
    full = load(name)
    order = torch.randperm(len(full.train), generator=torch.Generator().manual_seed(5))
    front, back = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]
    parts = full.train.select(front), full.train.select(back)
    return Dataset("CIFAR-10, held out", full.classes, *parts).split(ANIMALS, VEHICLES)


def tried(name: str, method: Method | None, tasks: TaskPair) -> Trial:
    """Train and attack one variant."""
    model, started = resnet_20(len(ANIMALS)), time.perf_counter()
    if method is not None:
        model = method.fit(model, tasks)
    seconds = time.perf_counter() - started if method is not None else 0.0
    best: dict[int | None, list[float]] = {10: [], 100: []}
    for draw in range(DRAWS):
        drawn = model if method is not None else model.reinitialised(draw)
        records = attack(Subject("defended", name, draw, drawn), tasks.undesirable, SUITE)
        for labels, found in best.items():
            found.append(100 * max(one.test[-1] for one in records if one.labels == labels))
    (exact,) = attack(Subject("defended", name, 0, model), tasks.undesirable, EXACT)
    few, more = (sum(one) / len(one) for one in (best[10], best[100]))
    desirable = 100 * accuracy(model, tasks.desirable.test)
    epochs = 0 if method is None else method.recipe.epochs
    return Trial(name, repr(method), epochs, seconds, desirable, 100 * exact.test[-1], few, more)


def kept() -> dict[tuple[str, int], Trial]:
    """Return the trials made so far."""
    if not TRIALS.is_file():
        return {}
    trials = [Trial(**json.loads(line)) for line in TRIALS.read_text().splitlines()]
    return {(trial.settings, trial.epochs): trial for trial in trials}


def main(options: argparse.Namespace) -> None:
    """Make the trials that are missing, and print the table."""
    keep_freed_memory()
    torch.set_num_threads(1)
    tasks = held_out(options.data)
    print("| variant | desirable | exact last layer | 10 labels | 100 labels | training, s |")
    print("|---|---|---|---|---|---|")
    for name, method in variants(options.epochs, options.fashion).items():
        if options.only and name not in options.only:
            continue
        key = repr(method), 0 if method is None else method.recipe.epochs
        trial = kept().get(key)
        if trial is None:
            trial = tried(name, method, tasks)
            with TRIALS.open("a") as file:
                file.write(json.dumps(asdict(trial)) + "\n")
        cells = [trial.desirable, trial.exact, trial.few, trial.more]
        shown = " | ".join(f"{value:.1f}" for value in cells)
        print(f"| {name} | {shown} | {trial.seconds:.0f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--fashion", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--only", nargs="*")
    main(parser.parse_args())
