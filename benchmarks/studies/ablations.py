"""What each part of BestResponse buys, on held-out training samples.

python -m benchmarks.studies.ablations [--only NAME ...] [--folds 4] [--data mnist]
                                       [--desirable 0-4] [--undesirable 5-9]

The training images are cut into six parts; in fold k the k-th takes the test set's place, and k is
the seed of everything. Attacks are the exact last layer with all labels, the best by test accuracy
of five fine-tunings with 10 and with 100 labels per class, two draws of labels each, and the same
of three fine-tunings that keep only the first block. Choosing by test accuracy flatters every
row alike. Attacked models are scored on the 500 images of the harness's curves, the same in every
row of a fold. Rows are saved to results/ablations.jsonl, where an interrupted run goes on. A
Markdown table of means is printed, with the standard error of the desirable accuracy paired with
that of `Plain`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.shared.held_out import hold_out
from benchmarks.shared.kept_rows import KeptRows
from benchmarks.shared.settings import vary, write_settings
from rootbound.attacks import Budget, ExactLastLayer, FineTune
from rootbound.core.memory import keep_freed_memory
from rootbound.data import TaskPair
from rootbound.datasets import load
from rootbound.evaluation import Subject, attack
from rootbound.methods import BestResponse, Method, Plain
from rootbound.networks import Classifier, shallow_cnn
from rootbound.suites import Suite
from rootbound.training import accuracy

PARTS = 6
EXACT = Suite("exact", (ExactLastLayer(1e-3, "standardised"),), (Budget(None, 1),))
TUNED = Suite(
    "ablations",
    (
        *(FineTune(None, "kept", "adam", rate) for rate in (2e-3, 8e-3)),
        *(FineTune(2, start, "adam", 4e-3) for start in ("kept", "re-initialised")),
        FineTune(3, "kept", "adam", 4e-3),
    ),
    (Budget(10, 60), Budget(100, 80)),
)
FIRST = replace(
    TUNED,
    name="first layer",
    attacks=tuple(FineTune(3, "re-initialised", "adam", rate) for rate in (2e-3, 4e-3, 8e-3)),
)
DRAWS = 2


OURS = BestResponse()
ABLATIONS: dict[str, Method | None] = {
    "Plain": Plain(),
    "Plain, peak rate 0.01": Plain(OURS.recipe),
    "scratch": None,
    "BestResponse": OURS,
    "… weight 0.05": vary(OURS, weight=0.05, finishing_weight=30.0),
    "… weight 0.3": vary(OURS, weight=0.3, finishing_weight=5.0),
    "… first weight 10": vary(OURS, first_weight=10.0),
    "… depth weight 0": vary(OURS, depth_weight=0.0),
    "… depth weight 5": vary(OURS, depth_weight=5.0),
    "… nothing before the activation": vary(OURS, before_activation=0.0),
    "… nothing spared": vary(OURS, spared=0.0),
    "… first block random": vary(OURS, first_block_until=0.0),
    "… first block as learned before the terms": vary(OURS, first_block_until=0.4),
    "… first block trained to the end": vary(OURS, first_block_until=1.0),
    "… from the start, slowly": vary(OURS, wait=0.0, warm_in=0.5),
    "… wait 0.5": vary(OURS, wait=0.5),
    "… 192 undesirable samples": vary(OURS, undesirable_batch_size=192),
    "… undesirable samples in every second step": vary(OURS, undesirable_every=2),
    "… no last steps": vary(OURS, finishing_steps=0),
    "… ridge 1e-1": vary(OURS, ridge=1e-1),
    "… ridge 1e-5": vary(OURS, ridge=1e-5),
    "… projection 64": vary(OURS, projection=64),
}
"""Each row changes what it names and nothing else."""


@dataclass(frozen=True)
class Trial:
    """What one model keeps and what it is worth to attackers, in percent."""

    settings: str
    tasks: str
    fold: int
    seconds: float
    desirable: float
    exact: float
    few: float
    more: float
    first_few: float = math.nan
    first_more: float = math.nan


def fold(options: argparse.Namespace, number: int) -> TaskPair:
    """Return the tasks with one part of the training images in the test set's place."""
    full = load(options.data)
    order = torch.randperm(len(full.train), generator=torch.Generator().manual_seed(99))
    parts = list(order.chunk(PARTS))
    judged = parts.pop(number)
    data = hold_out(full, torch.cat(parts), judged)
    return data.split(data.chosen(options.desirable), data.chosen(options.undesirable))


def run_trial(method: Method | None, tasks: TaskPair, name: str, number: int) -> Trial:
    """Train one variant on one fold, and attack it."""
    model = shallow_cnn(len(tasks.desirable.classes), seed=number)
    started = time.process_time()
    if method is not None:
        model = method.fit(model, tasks, seed=number)
    seconds = time.process_time() - started
    (exact,) = attack(Subject("defended", name, number, model), tasks.undesirable, EXACT)
    return Trial(
        write_settings(method), name, number, seconds,
        100 * accuracy(model, tasks.desirable.test),
        100 * exact.test[-1], *find_strongest(TUNED, model, tasks, number),
        *find_strongest(FIRST, model, tasks, number),
    )  # fmt: skip


def find_strongest(
    suite: Suite, model: Classifier, tasks: TaskPair, number: int
) -> tuple[float, float]:
    """Return the percentages of the best trials with 10 and with 100 labels per class."""
    best: dict[int | None, list[float]] = {10: [], 100: []}
    for draw in range(DRAWS):
        subject = Subject("defended", "one", DRAWS * number + draw, model)
        records = attack(subject, tasks.undesirable, suite)
        for labels, accuracies in best.items():
            last = [record.test[-1] for record in records if record.labels == labels]
            accuracies.append(100 * max(last))
    return statistics.fmean(best[10]), statistics.fmean(best[100])


TRIALS = KeptRows(
    Path(__file__).parents[1] / "results" / "ablations.jsonl",
    Trial,
    key=lambda trial: (trial.settings, trial.tasks, trial.fold),
)


def get_trial(
    variant: str, method: Method | None, tasks: TaskPair, name: str, number: int
) -> Trial:
    """Return a trial; run it now if it has not been saved."""
    return TRIALS.find_or_make(
        (write_settings(method), name, number),
        lambda: replace(run_trial(method, tasks, variant, number), tasks=name),
    )


def format_row(name: str, trials: list[Trial], plain: list[Trial]) -> str:
    """Return a line of the table."""
    fields = ("desirable", "exact", "few", "more", "first_few", "first_more", "seconds")
    means = {field: statistics.fmean(getattr(trial, field) for trial in trials) for field in fields}
    lost = [
        trial.desirable - reference.desirable
        for trial, reference in zip(trials, plain, strict=False)
    ]
    error = statistics.stdev(lost) / math.sqrt(len(lost)) if len(lost) > 1 else math.nan
    change = f"{statistics.fmean(lost):+.2f} ± {error:.2f}" if lost else "–"
    numbers = " | ".join(f"{means[field]:.1f}" for field in fields[1:])
    return f"| {name} | {means['desirable']:.2f} | {change} | {numbers} |"


def main(options: argparse.Namespace) -> None:
    """Make the trials that are missing, and print the table."""
    keep_freed_memory()
    torch.set_num_threads(1)
    name = f"{options.data} {options.desirable}|{options.undesirable}"
    pairs = [fold(options, number) for number in range(options.folds)]
    print("| variant | desirable | change | exact | 10 | 100 | first, 10 | first, 100 | seconds |")
    print(f"|{'---|' * 9}")
    plain: list[Trial] = []
    for variant, method in ABLATIONS.items():
        if options.only and variant not in options.only:
            continue
        trials = [
            get_trial(variant, method, tasks, name, number) for number, tasks in enumerate(pairs)
        ]
        plain = plain or trials
        print(format_row(variant, trials, plain), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--desirable", default="0-4")
    parser.add_argument("--undesirable", default="5-9")
    main(parser.parse_args())
