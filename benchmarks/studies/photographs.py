"""CIFAR-10, ResNet-20: what resistance costs, and what any features are worth.

python -m benchmarks.studies.photographs CIFAR10 [--classes animals] [--seeds 0 1] [--test]
                                         [--epochs 6] [--width 16] [--precision bfloat16]
                                         [--fashion FOLDER] [--draws 2] [--device cpu]
                                         [--only NAME ...] [--figure FILE]

Open question: with 100 labels per class an attacker keeps half of the head start. CIFAR10: the data
set as `--data` takes it. Animals are desirable and vehicles not, or, with `--classes half`, classes
0-4 and 5-9. A fifth of the training images takes the test set's place, so that settings may be
chosen by what this prints; `--test` is for what is reported. Every model is attacked with 10 and
100 labels per class by the same fine-tunings and by the attacks that know its method, beside the
exact last layer with all labels. The best trial for each number of labels by test accuracy is
shown, which flatters every row alike. The table has BestResponse, every published method, `Plain`,
random weights, features learned from clothes, and BestResponse with other weights. Trials are saved
to results/photographs.jsonl, where an interrupted run goes on. A Markdown table of means over seeds
is printed, and the frontier drawn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.shared.frontier import Worth, draw_frontier
from benchmarks.shared.held_out import hold_out
from benchmarks.shared.kept_rows import KeptRows
from benchmarks.shared.photographs import CLASSES, RANDOM, list_variants
from benchmarks.shared.settings import write_settings
from rootbound.attacks import Attack, Budget, ExactLastLayer, FineTune, Repaired
from rootbound.attacks.repairs import ReinitialiseLast
from rootbound.core.devices import PRECISIONS, computing_in, find_device, on
from rootbound.core.errors import InputError
from rootbound.core.memory import keep_freed_memory
from rootbound.data import TaskPair
from rootbound.datasets import Dataset, load
from rootbound.evaluation import Subject, attack
from rootbound.methods import BestResponse, Method
from rootbound.networks import Classifier, resnet_20
from rootbound.suites import Suite
from rootbound.training import accuracy

EXACT = Suite("exact", (ExactLastLayer(1e-3, "standardised"),), (Budget(None, 1),))
TUNED: tuple[Attack, ...] = (
    *(FineTune(None, "kept", "adam", rate) for rate in (2e-3, 8e-3)),
    Repaired(ReinitialiseLast(3), FineTune(None, "kept", "adam", 4e-3)),
)
SUITE = Suite("photographs", TUNED, (Budget(10, 60), Budget(100, 80)))
SCORED = 4000
"""Undesirable test images; the harness takes 500 of them for curves, which score the attacks."""


@dataclass(frozen=True)
class Trial:
    """What one model keeps and what it is worth to attackers, in percent.

    Args:
        name: Name of the variant.
        settings: The method and its settings, as text.
        epochs: Passes over the desirable images.
        seconds: Seconds that training took.
        desirable: Accuracy on the desirable classes.
        exact: Accuracy of the exact last layer for the others, with all labels.
        few: Accuracy of the strongest attack with 10 labels per class, a mean over draws of labels.
        more: Accuracy of the strongest attack with 100 labels per class, likewise.
        classes: A key of `CLASSES`.
        seed: Seed of the training.
        precision: Precision of training and attacks.
        test: Whether the test set is used.
        width: Channels of the network's first group.
        draws: Draws of the attacker's labels.
    """

    name: str
    settings: str
    epochs: int
    seconds: float
    desirable: float
    exact: float
    few: float
    more: float
    classes: str = "animals"
    seed: int = 0
    precision: str = PRECISIONS[0]
    test: bool = False
    width: int = 16
    draws: int = 2


@dataclass(frozen=True)
class Setting:
    """What all models of a table have in common; `Trial` says what the fields mean."""

    classes: str
    precision: str
    test: bool
    width: int
    draws: int

    def tasks(self, name: str) -> TaskPair:
        """Return the two tasks, with a fifth of the training images as test images or not."""
        full = load(name) if self.test else set_a_fifth_aside(load(name))
        return full.split(*CLASSES[self.classes])


def set_a_fifth_aside(full: Dataset) -> Dataset:
    """Return the data set with a fifth of its training samples in the place of the test set."""
    order = torch.randperm(len(full.train), generator=torch.Generator().manual_seed(5))
    size = len(order) * 4 // 5
    return hold_out(full, order[:size], order[size:])


def run_trial(
    name: str, method: Method | None, setting: Setting, tasks: TaskPair, seed: int
) -> Trial:
    """Train one variant, and attack it."""
    desirable = CLASSES[setting.classes][0]
    model = resnet_20(len(desirable), seed=seed, width=setting.width)
    model.to(torch.get_default_device())
    started = time.perf_counter()
    with computing_in(setting.precision):
        if method is not None:
            model = method.fit(model, tasks, seed=seed)
        seconds = time.perf_counter() - started if method is not None else 0.0
        suite = SUITE if method is None else SUITE.with_attacks(method.adaptive_attacks())
        few, more = find_strongest(name, model, tasks, seed, setting.draws, suite)
        subject = Subject("defended", name, seed, model)
        (exact,) = attack(subject, tasks.undesirable, EXACT)
    return Trial(
        name, write_settings(method), 0 if method is None else method.recipe.epochs, seconds,
        100 * accuracy(model, tasks.desirable.test), 100 * exact.test[-1], few, more,
        setting.classes, seed, setting.precision, setting.test, setting.width, setting.draws,
    )  # fmt: skip


def find_strongest(
    name: str, model: Classifier, tasks: TaskPair, seed: int, draws: int, suite: Suite
) -> tuple[float, float]:
    """Return the percentages of the best attacks with the suite's two numbers of labels."""
    best: dict[int | None, list[float]] = {budget.labels: [] for budget in suite.budgets}
    shorter = replace(tasks.undesirable, test=tasks.undesirable.test.subset(SCORED))
    for draw in range(draws):
        drawn = model.reinitialised(draws * seed + draw) if name == RANDOM else model
        subject = Subject("defended", name, draws * seed + draw, drawn)
        records = attack(subject, shorter, suite)
        for labels, accuracies in best.items():
            finished = [rec.test[-1] for rec in records if rec.labels == labels and rec.test]
            accuracies.append(100 * max(finished))
    few, more = map(statistics.fmean, best.values())
    return few, more


def make_key(trial: Trial) -> Hashable:
    """Return what tells a trial from all others."""
    setting = Setting(trial.classes, trial.precision, trial.test, trial.width, trial.draws)
    return trial.settings, trial.epochs, trial.seed, setting


TRIALS = KeptRows(Path(__file__).parents[1] / "results" / "photographs.jsonl", Trial, make_key)


def get_trial(
    name: str, method: Method | None, setting: Setting, tasks: TaskPair, seed: int
) -> Trial:
    """Return a trial; run it now if it has not been saved."""
    key = (
        write_settings(method),
        0 if method is None else method.recipe.epochs,
        seed,
        setting,
    )
    trial = TRIALS.find_or_make(key, lambda: run_trial(name, method, setting, tasks, seed))
    return replace(trial, name=name)


def compute_mean(trials: Sequence[Trial], field: str) -> float:
    """Return the mean of a field."""
    return statistics.fmean(getattr(trial, field) for trial in trials)


def main(options: argparse.Namespace) -> None:
    """Read the data, and do the rest on the device."""
    keep_freed_memory()
    torch.set_num_threads(1)
    setting = Setting(
        options.classes, options.precision, options.test, options.width, options.draws
    )
    tasks, device = setting.tasks(options.data), find_device(options.device)
    with on(device):
        print_table(options, setting, tasks.to(device))


def print_table(options: argparse.Namespace, setting: Setting, tasks: TaskPair) -> None:
    """Make the trials that are missing, print the table and draw the frontier."""
    models: list[Worth] = []
    print("| variant | desirable | exact last layer | 10 labels | 100 labels | training, s |")
    print("|---|---|---|---|---|---|")
    for name, method in list_variants(options.epochs, options.fashion).items():
        if options.only and name not in options.only:
            continue
        try:
            trials = [get_trial(name, method, setting, tasks, seed) for seed in options.seeds]
        except InputError as reason:  # the method does not apply to such a network
            print(f"| {name} | {reason} | | | | |", flush=True)
            continue
        desirable, few, more = (
            compute_mean(trials, field) for field in ("desirable", "few", "more")
        )
        models.append(Worth(name, isinstance(method, BestResponse), desirable, few, more))
        fields = ("desirable", "exact", "few", "more")
        shown = " | ".join(f"{compute_mean(trials, field):.1f}" for field in fields)
        print(f"| {name} | {shown} | {compute_mean(trials, 'seconds'):.0f} |", flush=True)
    if options.figure:
        draw_frontier(models, options.figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--classes", choices=CLASSES, default="animals")
    parser.add_argument("--fashion", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--figure", type=Path)
    main(parser.parse_args())
