"""ResNet-20 on CIFAR-10 under a whole suite, beside scratch and features learned from clothes.

python -m benchmarks.claims.photographs CIFAR10 OUT [--classes animals] [--methods BestResponse ...]
                                        [--seeds 3] [--epochs 15] [--width 16] [--side 32]
                                        [--workers 2] [--device cpu] [--suite quick-2]
                                        [--labels 10 100 all] [--steps 60 80 100]
                                        [--fashion FOLDER] [--shown] [--figure FILE]

All methods are trained under one recipe, published ones at their own peak rates, and judged on the
test set. The suite is `quick-1` with these numbers of labels and steps. The best setting for each
number of labels is run once more with ten times the steps, because random weights need longer to
become as good as they get. Any other suite is run as it is. Records go to OUT, where an
interrupted run goes on; with `--shown` nothing is run and the records in OUT are shown. Markdown is
printed, and the frontier drawn.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.shared.frontier import Worth, draw_frontier
from benchmarks.shared.photographs import CLASSES, CLOTHES, RANDOM, list_variants
from benchmarks.shared.settings import ungroup_settings
from rootbound import metrics
from rootbound.attacks import Budget
from rootbound.core.memory import keep_freed_memory
from rootbound.datasets import fitted, load
from rootbound.evaluation import compare
from rootbound.execution import Pool
from rootbound.methods import Method
from rootbound.metrics.cells import most_labels
from rootbound.metrics.estimates import Draw, Estimate, paired
from rootbound.networks import resnet_20
from rootbound.records import EXACT, Configuration, Evaluation
from rootbound.report.cells import change
from rootbound.suites import Suite, find_suite

LONGER = 10
"""How many times the steps the last run of the best settings has."""


def choose_suite(name: str, labels: list[str], steps: list[int]) -> Suite:
    """Return quick-1 with these budgets and a longer run at the end, or another suite as it is."""
    if name != "quick-1":
        return find_suite(name)
    budgets = tuple(
        Budget(None if count == "all" else int(count), most)
        for count, most in zip(labels, steps, strict=True)
    )
    chosen = find_suite(name).with_budgets(budgets)
    return replace(chosen, name="quick-1 and a longer run", longer=LONGER)


def list_methods(options: argparse.Namespace) -> list[Method]:
    """Return the methods to train: `Plain`, and those asked for."""
    known = list_variants(options.epochs, options.fashion, options.side)
    chosen = [known[name] for name in dict.fromkeys(["Plain", *options.methods])]
    return [method for method in chosen if method is not None]


def print_table(evaluation: Evaluation) -> None:
    """Print a row for every method: what it keeps, and what it is worth to the attacker."""
    budgets = metrics.budgets(evaluation)
    heads = ["method", "desirable", "exact"]
    for labels in budgets:
        heads += [f"{labels or 'all'} labels", "advantage", "longer", "advantage"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for method in metrics.methods(evaluation):
        desirable = metrics.desirable(evaluation, method)
        exact = metrics.attacked(evaluation, method, most_labels(evaluation), EXACT)
        cells = [method, _compute_mean(desirable), _compute_mean(exact)]
        for labels in budgets:
            attacked = metrics.attacked(evaluation, method, labels)
            gain = metrics.advantage(evaluation, method, labels)
            longer, scratch = (
                find_longer_accuracies(evaluation, name, labels) for name in (method, "scratch")
            )
            cells += [
                _compute_mean(attacked),
                _format_estimate(gain),
                _compute_mean(longer),
                _format_estimate(paired(longer, scratch)),
            ]
        print(f"| {' | '.join(cells)} |", flush=True)


def find_longer_accuracies(
    evaluation: Evaluation, method: str, labels: int | None
) -> dict[Draw, float]:
    """Return the accuracy that the longer run reached, for every draw."""
    return {
        (record.seed, record.attacker): record.accuracy
        for record in evaluation.records
        if (record.method, record.labels, record.stage) == (method, labels, "longer")
        and record.accuracy is not None
    }


def list_worths(evaluation: Evaluation, epochs: int, side: int) -> list[Worth]:
    """Return what a frontier shows of each model."""
    controls = {"GenericFeatures": CLOTHES, "scratch": RANDOM}
    named = [
        (ungroup_settings(Configuration.of(method)), name)
        for name, method in list_variants(epochs, "", side).items()
        if method is not None
    ]
    models = []
    for training in evaluation.trainings:
        scored = training.desirable_accuracy is not None or training.method == "scratch"
        if training.seed or not scored:
            continue
        method, settings = training.method, ungroup_settings(training.settings)
        desirable, few, more = (
            100 * fmean(accuracies.values()) if accuracies else 0.0
            for accuracies in (
                metrics.desirable(evaluation, method),
                metrics.attacked(evaluation, method, 10),
                metrics.attacked(evaluation, method, 100),
            )
        )
        variant = next((name for known, name in named if known == settings), method)
        name = controls.get(method, variant)
        ours = settings[""] == "BestResponse"
        models.append(Worth(name, ours, desirable, few, more))
    return models


def _format_estimate(value: Estimate | None) -> str:
    cell = change(value, 1)
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def _compute_mean(accuracies: dict[Draw, float]) -> str:
    return f"{100 * fmean(accuracies.values()):.1f}" if accuracies else "–"


def main(options: argparse.Namespace) -> None:
    """Run what is missing, and show everything."""
    keep_freed_memory()
    torch.set_num_threads(1)
    desirable, undesirable = CLASSES[options.classes]
    if options.shown:
        show(Evaluation.load(options.out), options)
        return
    shape = (3, options.side, options.side)
    tasks = fitted(load(options.data), shape).split(desirable, undesirable)
    evaluation = compare(
        list_methods(options),
        tasks,
        resnet_20(len(desirable), shape, width=options.width),
        suite=choose_suite(options.suite, options.labels, options.steps),
        seeds=options.seeds,
        workers=Pool(options.workers, device=options.device),
        folder=options.out,
    )
    show(evaluation, options)


def show(evaluation: Evaluation, options: argparse.Namespace) -> None:
    """Print the table, and draw the frontier."""
    print_table(evaluation)
    if options.figure is not None:
        draw_frontier(list_worths(evaluation, options.epochs, options.side), options.figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", choices=CLASSES, default="animals")
    parser.add_argument("--methods", nargs="+", default=["BestResponse", CLOTHES])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--suite", default="quick-1")
    parser.add_argument("--labels", nargs="+", default=["10", "100", "all"])
    parser.add_argument("--steps", nargs="+", type=int, default=[60, 80, 100])
    parser.add_argument("--shown", action="store_true")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--fashion", default="/usr/share/datasets/fashion-mnist")
    main(parser.parse_args())
