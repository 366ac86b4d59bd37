"""CIFAR-10, ResNet-20, under a whole suite, beside scratch and features of clothes.

python benchmarks/photographs_suite.py CIFAR10 OUT [--classes animals] [--methods BestResponse ...]
                                       [--seeds 3] [--epochs 15] [--width 16] [--workers 2]
                                       [--device cpu] [--labels 10 100 all] [--steps 60 80 100]
                                       [--fashion FOLDER] [--suite standard-1] [--shown]
                                       [--figure FILE]

Test set, all methods trained under the recipe of `photographs.py`, published ones with their own
peak rates. The suite is `quick-1`, with these numbers of labels and steps; the best setting of each
number of labels is run once more with ten times the steps, since random weights need longer to be
as good as they get. Any other suite is run as it is. Records go to OUT, where an interrupted run
goes on, or with `--shown` is left as it is; Markdown is printed, and the frontier drawn.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from photographs import CLASSES, CLOTHES, RANDOM, Trial, frontier, variants
from rootbound import metrics
from rootbound.attacks import Budget
from rootbound.core.memory import keep_freed_memory
from rootbound.datasets import load
from rootbound.evaluation import compare
from rootbound.execution import Pool
from rootbound.methods import Method
from rootbound.metrics.estimates import Draw, Estimate, paired
from rootbound.networks import resnet_20
from rootbound.records import EXACT, Evaluation
from rootbound.report.cells import change
from rootbound.suites import Suite, find_suite

LONGER = 10


def suite(name: str, labels: list[str], steps: list[int]) -> Suite:
    """Return quick-1 with these budgets, and a longer run at the end; or another as it is."""
    if name != "quick-1":
        return find_suite(name)
    budgets = tuple(
        Budget(None if count == "all" else int(count), most)
        for count, most in zip(labels, steps, strict=True)
    )
    chosen = find_suite(name).with_budgets(budgets)
    return replace(chosen, name="quick-1 and a longer run", longer=LONGER)


def entrants(options: argparse.Namespace) -> list[Method]:
    """Return what is trained: `Plain`, and what was asked for."""
    known = variants(options.epochs, options.fashion)
    chosen = [known[name] for name in dict.fromkeys(["Plain", *options.methods])]
    return [method for method in chosen if method is not None]


def table(evaluation: Evaluation) -> None:
    """Print a row for every method: what it keeps, and what it is worth to the attacker."""
    budgets = metrics.budgets(evaluation)
    heads = ["method", "desirable", "exact"]
    for labels in budgets:
        heads += [f"{labels or 'all'} labels", "advantage", "longer", "advantage"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for method in metrics.methods(evaluation):
        kept = metrics.desirable(evaluation, method)
        exact = metrics.attacked(evaluation, method, None, EXACT)
        cells = [method, *(_mean(list(one.values())) for one in (kept, exact))]
        for labels in budgets:
            found = metrics.attacked(evaluation, method, labels)
            gain = metrics.advantage(evaluation, method, labels)
            longer, scratch = (lengthened(evaluation, name, labels) for name in (method, "scratch"))
            cells += [_mean(list(found.values())), _shown(gain)]
            cells += [_mean(list(longer.values())), _shown(paired(longer, scratch))]
        print(f"| {' | '.join(cells)} |", flush=True)


def lengthened(evaluation: Evaluation, method: str, labels: int | None) -> dict[Draw, float]:
    """Return the accuracy that the longer run reached, of every draw."""
    return {
        (one.seed, one.attacker): one.accuracy
        for one in evaluation.records
        if (one.method, one.labels, one.stage) == (method, labels, "longer")
        and one.accuracy is not None
    }


def trials(evaluation: Evaluation, epochs: int) -> list[list[Trial]]:
    """Return for each model what a frontier shows: what it keeps, and its worth with 10 and 100."""
    called = {repr(one): name for name, one in variants(epochs, "").items() if one is not None}
    called |= {"GenericFeatures": CLOTHES, "scratch": RANDOM}
    found = []
    for training in evaluation.trainings:
        given = training.desirable_accuracy is not None or training.method == "scratch"
        if training.seed or not given:
            continue
        method, settings = training.method, training.settings
        kept, exact, few, more = (
            100 * fmean(values.values()) if values else 0.0
            for values in (
                metrics.desirable(evaluation, method),
                metrics.attacked(evaluation, method, None, EXACT),
                metrics.attacked(evaluation, method, 10),
                metrics.attacked(evaluation, method, 100),
            )
        )
        name = called.get(settings, called.get(method, method))
        found.append([Trial(name, settings, epochs, 0.0, kept, exact, few, more)])
    return found


def _shown(value: Estimate | None) -> str:
    cell = change(value, 1)
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def _mean(values: list[float]) -> str:
    return f"{100 * sum(values) / len(values):.1f}" if values else "–"


def main(options: argparse.Namespace) -> None:
    """Run what is missing, and print the table."""
    keep_freed_memory()
    torch.set_num_threads(1)
    desirable, undesirable = CLASSES[options.classes]
    if options.shown:
        show(Evaluation.load(options.out), options)
        return
    tasks = load(options.data).split(desirable, undesirable)
    evaluation = compare(
        entrants(options),
        tasks,
        resnet_20(len(desirable), width=options.width),
        suite=suite(options.suite, options.labels, options.steps),
        seeds=options.seeds,
        workers=Pool(options.workers, device=options.device),
        folder=options.out,
    )
    show(evaluation, options)


def show(evaluation: Evaluation, options: argparse.Namespace) -> None:
    """Print the table, and draw the frontier."""
    table(evaluation)
    if options.figure is not None:
        frontier(trials(evaluation, options.epochs), options.figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", choices=CLASSES, default="animals")
    parser.add_argument("--methods", nargs="+", default=["BestResponse", CLOTHES])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--suite", default="quick-1")
    parser.add_argument("--labels", nargs="+", default=["10", "100", "all"])
    parser.add_argument("--steps", nargs="+", type=int, default=[60, 80, 100])
    parser.add_argument("--shown", action="store_true")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--fashion", default="/usr/share/datasets/fashion-mnist")
    main(parser.parse_args())
