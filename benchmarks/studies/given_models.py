"""Several given models and their resistant versions, under the same attacks in one run.

python -m benchmarks.studies.given_models CIFAR10 OUT --given FILE ... --resistant FILE ...
                                          [--fashion FOLDER] [--suite short] [--seeds 2]
                                          [--workers 2] [--shown]

Open question: the last layer of a given model is taken away, the blocks below it hardly change.
CIFAR10 and FOLDER (of Fashion-MNIST): as `--data` takes them. FILEs are made by `rootbound train`:
the given ones by `Plain` on animals; the resistant ones, in the same order, with `--from` each of
them and clothes undesirable. All meet the attacks that random weights meet, with the same labels.
Suites: `short`, the probes of quick-1 and three of its fine-tunings; `exact`, last layers alone,
with all labels; and any other by its name. Records go to OUT, where an interrupted run goes on;
with `--shown` nothing is run, and the records of the first seeds are shown. Markdown is printed:
test set, means over draws of labels and then over models, with 95 % t-intervals over models;
differences are paired.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.shared.photographs import CLASSES
from rootbound import metrics
from rootbound.attacks import Budget, ExactLastLayer, FineTune
from rootbound.attacks.repairs import GradientFree, ReassignHead, Repaired
from rootbound.core.memory import keep_freed_memory
from rootbound.data import TaskPair
from rootbound.datasets import fitted, load
from rootbound.evaluation import evaluate
from rootbound.metrics.estimates import Draw, estimate
from rootbound.networks import Classifier
from rootbound.publishing import load_checkpoint
from rootbound.records import EXACT, Evaluation
from rootbound.report.cells import interval
from rootbound.suites import Suite, find_suite
from rootbound.training import accuracy

QUICK = find_suite("quick-1")
TUNED = (
    *(FineTune(None, "kept", "adam", rate) for rate in (2e-3, 8e-3)),
    FineTune(3, "re-initialised", "adam", 4e-3),
)
PROBES = tuple(
    attack
    for attack in QUICK.attacks
    if not isinstance(attack, FineTune | Repaired | ReassignHead | GradientFree)
)
SUITES = {
    "short": Suite("quick-1's probes and three fine-tunings", (*PROBES, *TUNED), QUICK.budgets),
    "exact": Suite(
        "exact last layers, all labels",
        tuple(ExactLastLayer(penalty, "standardised") for penalty in (1e-2, 1e-3, 1e-4)),
        (Budget(None, 1),),
    ),
}
GIVEN, RESISTANT, SCRATCH = "given", "resistant", "scratch"


def find_accuracies(
    evaluation: Evaluation, kind: str, count: int, labels: int | None, family: str | None = None
) -> list[dict[Draw, float]]:
    """Return the strongest attack's accuracy on each model, for every draw."""
    names = [SCRATCH] if kind == SCRATCH else [f"{kind} {number}" for number in range(count)]
    return [metrics.attacked(evaluation, name, labels, family) for name in names]


def average_percent(draws: dict[Draw, float], beside: dict[Draw, float] | None = None) -> float:
    """Return the mean over draws, or of the difference over those that both have."""
    if beside is None:
        return 100 * fmean(draws.values())
    return 100 * fmean(draws[draw] - beside[draw] for draw in draws.keys() & beside.keys())


def list_rows(evaluation: Evaluation, desirable: dict[str, list[float]]) -> Iterator[str]:
    """Yield the table of accuracies in percent and differences in points, line by line."""
    count, budgets = len(desirable[GIVEN]), metrics.budgets(evaluation)
    heads = ["model", "desirable", "change"]
    for labels in budgets:
        called = labels or "all"
        heads += [f"exact last layer, {called}", f"strongest, {called}", f"advantage, {called}"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for kind in (GIVEN, RESISTANT, SCRATCH):
        cells = [kind, format_estimate(desirable.get(kind, []))]
        lost = zip(desirable[RESISTANT], desirable[GIVEN], strict=True) if kind == RESISTANT else ()
        cells.append(format_estimate([after - before for after, before in lost], "+.2f"))
        for labels in budgets:
            reached = find_accuracies(evaluation, kind, count, labels)
            (fresh,) = find_accuracies(evaluation, SCRATCH, count, labels)
            gains = [] if kind == SCRATCH else [average_percent(draws, fresh) for draws in reached]
            exact = find_accuracies(evaluation, kind, count, labels, EXACT)
            cells += [
                format_estimate([average_percent(draws) for draws in values])
                for values in (exact, reached)
            ]
            cells.append(format_estimate(gains, "+.1f"))
        yield f"| {' | '.join(cells)} |"


def format_estimate(values: Sequence[float], style: str = ".1f") -> str:
    """Return the mean and its interval, without one the value, and a dash for nothing."""
    if not values:
        return "–"
    mean, digits = estimate(values), int(style[-2])
    spread = f" ({interval(mean, digits)})" if len(values) > 1 else ""
    return f"{mean.mean:{style}}{spread}"


def main(options: argparse.Namespace) -> None:
    """Attack what has not been attacked, and print the table."""
    keep_freed_memory()
    torch.set_num_threads(1)
    wanted = load(options.data).split(*CLASSES["animals"]).desirable
    unwanted = fitted(load(options.fashion), wanted.train.shape).task(range(10))
    models: dict[str, Classifier] = {}
    desirable: dict[str, list[float]] = {}
    for kind, files in ((GIVEN, options.given), (RESISTANT, options.resistant)):
        loaded = [load_checkpoint(file)[0] for file in files]
        models |= {f"{kind} {number}": model for number, model in enumerate(loaded)}
        desirable[kind] = [100 * accuracy(model, wanted.test) for model in loaded]
    if options.shown:
        evaluation = Evaluation.load(options.out)
        first = tuple(record for record in evaluation.records if record.seed < options.seeds)
        evaluation = replace(evaluation, records=first)
    else:
        evaluation = evaluate(
            models,
            TaskPair.of(wanted, unwanted),
            suite=SUITES.get(options.suite, options.suite),
            seeds=options.seeds,
            workers=options.workers,
            folder=options.out,
        )
    print("\n".join(list_rows(evaluation, desirable)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--given", nargs="+", required=True)
    parser.add_argument("--resistant", nargs="+", required=True)
    parser.add_argument("--fashion", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--suite", default="short")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shown", action="store_true")
    main(parser.parse_args())
