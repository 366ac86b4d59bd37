"""How well BestResponse works if the defender knows less than the attacker.

python -m benchmarks.claims.generalising OUT [--fashion FOLDER] [--seeds 3] [--only NAME ...]
                                         [--workers 1]

MNIST, `shallow_cnn`, 0-4 desirable. The defender has few undesirable samples, samples of some
undesirable classes only, samples without labels (clusters of pixels take their place), or digits
where the attacker brings clothes. `SUITE` has the attacks. Records of each case go to a folder in
OUT, where an interrupted run goes on; a Markdown table is printed. Its first row has a harmless
third task, too: to tell by which quarter turn a desirable image is rotated. Labels are drawn
several times.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from scipy.cluster.vq import kmeans2

from rootbound import metrics
from rootbound.attacks import Budget, ExactLastLayer, FineTune, Reading
from rootbound.data import Data, TaskPair
from rootbound.datasets import load, mnist
from rootbound.evaluation import compare
from rootbound.methods import BestResponse, Plain
from rootbound.metrics import Estimate
from rootbound.networks import shallow_cnn
from rootbound.suites import Suite

CLUSTERS = 10
HALF = "half of all samples"
"""What the defender knows everywhere else: the attacker has the other half."""
SUITE = Suite(
    "generalising-2",
    attacks=(
        *(ExactLastLayer(penalty, "whitened") for penalty in (1e-4, 1e-3, 1e-2)),
        ExactLastLayer(1e-3, "whitened", reading=Reading(1)),
        *(FineTune(None, "kept", "adam", rate) for rate in (5e-4, 2e-3, 8e-3)),
        *(FineTune(None, "kept", "sgd", rate) for rate in (0.03, 0.1)),
        *(FineTune(2, start, "adam", 4e-3) for start in ("kept", "re-initialised")),
    ),
    budgets=(Budget(10, 60), Budget(100, 80), Budget(None, 100)),
    draws=(6, 4, 3),
    finalists=3,
)
HARMLESS = replace(
    SUITE,
    name="generalising-2, harmless task",
    benign=tuple(FineTune(None, "kept", "adam", rate) for rate in (2e-3, 8e-3)),
)


def list_cases(fashion: Path) -> Iterator[tuple[str, TaskPair]]:
    """Yield the cases: what the defender knows, in words, and the tasks."""
    digits = mnist()
    pair = digits.split(range(5), range(5, 10))
    generator = torch.Generator().manual_seed(0)
    known = pair.known_undesirable
    yield HALF, pair
    for count in (1000, 100):
        some, _ = known.per_class(count // 5, generator)
        yield f"{count:,} samples", replace(pair, known_undesirable=some)
    yield (
        "samples without labels",
        replace(pair, known_undesirable=label_by_cluster(known, generator)),
    )
    seen = digits.split(range(5), range(5, 8)).known_undesirable
    unseen = digits.split(range(5), (8, 9))
    yield "5-7, attacked with 8 and 9", replace(unseen, known_undesirable=seen)
    if fashion.is_dir():
        clothes = load(str(fashion))
        against_clothes = TaskPair.of(pair.desirable, clothes.task(range(10)))
        yield "digits 5-9, attacked with clothes", replace(against_clothes, known_undesirable=known)


def label_by_cluster(data: Data, generator: torch.Generator) -> Data:
    """Return the samples, labelled by their cluster of pixels (k-means)."""
    pixels = data.batch(slice(None))[0].flatten(1)
    chosen = pixels[torch.randperm(len(pixels), generator=generator)[:CLUSTERS]]
    _, labels = kmeans2(pixels.numpy(), chosen.numpy(), minit="matrix")
    return replace(data, labels=torch.from_numpy(labels).long())


def format_estimate(value: Estimate | None, signed: bool = True) -> str:
    """Return a mean and its interval."""
    if value is None:
        return "–"
    sign = "+" if signed else ""
    return f"{value.mean:{sign}.1f} ({value.low:{sign}.1f} to {value.high:{sign}.1f})"


def main(options: argparse.Namespace) -> None:
    """Run what is missing, and print the table."""
    columns = [f"advantage, {labels}" for labels in ("10", "100", "all labels")]
    heads = ["the defender knows", "change", "exact last layer, %", "undefended", *columns]
    heads.append("harmless task, change")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name, tasks in list_cases(options.fashion):
        if options.only and name not in options.only:
            continue
        evaluation = compare(
            (Plain(), BestResponse()),
            tasks,
            shallow_cnn(5),
            suite=HARMLESS if name == HALF else SUITE,
            seeds=options.seeds,
            workers=options.workers,
            folder=options.out / name.replace(" ", "_").replace(",", ""),
        )
        standings = {standing.method: standing for standing in metrics.standings(evaluation)}
        plain, ours = standings["Plain"], standings["BestResponse"]
        gains = [
            format_estimate(metrics.advantage(evaluation, ours.method, labels))
            for labels in metrics.budgets(evaluation)
        ]
        exact = [format_estimate(standing.exact, signed=False) for standing in (ours, plain)]
        cells = [name, format_estimate(ours.change), *exact, *gains, format_estimate(ours.benign)]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--workers", type=int, default=1)
    main(parser.parse_args())
