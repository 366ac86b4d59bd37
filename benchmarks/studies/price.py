"""What the price of BestResponse is made of, on held-out training samples.

python -m benchmarks.studies.price [--only NAME ...] [--models 12] [--data mnist]
                                   [--desirable 0-4] [--undesirable 5-9]

Open question: nearly all of the price is the last block's, and hardly depends on that block's
weight. Why? The training images are cut into six parts, as in `ablations.py`; model k is drawn and
trained with seed k, and judged on part k modulo six, which it has not seen. The only attack is the
exact last layer with all labels, so that there is time for many models. Rows are saved to
results/price.jsonl, where an interrupted run goes on. A Markdown table is printed: desirable
accuracy less that of `Plain` with the same seed, with 95 % intervals.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.shared.kept_rows import KeptRows
from benchmarks.shared.settings import vary, write_settings
from benchmarks.studies.ablations import EXACT, PARTS, fold
from rootbound.core.memory import keep_freed_memory
from rootbound.data import TaskPair
from rootbound.evaluation import Subject, attack
from rootbound.methods import BestResponse, Method, Plain
from rootbound.metrics.estimates import paired
from rootbound.networks import shallow_cnn
from rootbound.training import accuracy

OURS = BestResponse()
LONGER = replace(OURS.recipe, epochs=10)

VARIANTS: dict[str, Method] = {
    "Plain": Plain(),
    "Plain, peak rate 0.01": Plain(OURS.recipe),
    "BestResponse": OURS,
    "weight 0": vary(OURS, weight=0.0),
    "last block alone": vary(OURS, first_weight=0.0, depth_weight=0.0),
    "… without last steps": vary(OURS, first_weight=0.0, depth_weight=0.0, finishing_steps=0),
    "first block alone": vary(OURS, weight=1e-4, first_weight=3e4, depth_weight=0.0),
    "blocks between alone": vary(OURS, weight=1e-4, first_weight=0.0, depth_weight=3e3),
    "first weight 0": vary(OURS, first_weight=0.0),
    "depth weight 0": vary(OURS, depth_weight=0.0),
    "before 0": vary(OURS, before_activation=0.0),
    "without last steps": vary(OURS, finishing_steps=0),
    "Plain, peak rate 0.01, ten epochs": Plain(LONGER),
    "BestResponse, ten epochs": replace(OURS, recipe=LONGER),
}
"""The weight of a term alone is that of the default; the last block keeps next to none."""


@dataclass(frozen=True)
class Trial:
    """What one model keeps, and what its last layer is worth, in percent."""

    variant: str
    settings: str
    tasks: str
    seed: int
    desirable: float
    exact: float


def run_trial(variant: str, method: Method, tasks: TaskPair, name: str, seed: int) -> Trial:
    """Train one model, and solve its exact last layer."""
    model = method.fit(shallow_cnn(len(tasks.desirable.classes), seed=seed), tasks, seed=seed)
    (exact,) = attack(Subject("defended", variant, seed, model), tasks.undesirable, EXACT)
    desirable = accuracy(model, tasks.desirable.test)
    return Trial(variant, write_settings(method), name, seed, 100 * desirable, 100 * exact.test[-1])


TRIALS = KeptRows(
    Path(__file__).parents[1] / "results" / "price.jsonl",
    Trial,
    key=lambda trial: (trial.settings, trial.tasks, trial.seed),
)


def get_trial(variant: str, method: Method, tasks: TaskPair, name: str, seed: int) -> Trial:
    """Return a trial; run it now if it has not been saved."""
    return TRIALS.find_or_make(
        (write_settings(method), name, seed),
        lambda: run_trial(variant, method, tasks, name, seed),
    )


def format_row(variant: str, trials: list[Trial], plain: list[Trial]) -> str:
    """Return a line of the table."""
    ours, theirs = (
        {(trial.seed, trial.seed): trial.desirable / 100 for trial in some}
        for some in (trials, plain)
    )
    change = paired(ours, theirs)
    shown = f"{change.mean:+.2f} ({change.low:+.2f} to {change.high:+.2f})" if change else "–"
    exact = fmean(trial.exact for trial in trials)
    return (
        f"| {variant} | {fmean(trial.desirable for trial in trials):.2f} | {shown} | {exact:.1f} |"
    )


def main(options: argparse.Namespace) -> None:
    """Make the trials that are missing, and print the table."""
    keep_freed_memory()
    torch.set_num_threads(1)
    name = f"{options.data} {options.desirable}|{options.undesirable}"
    pairs = [fold(options, number) for number in range(PARTS)]
    print("| variant | desirable, % | change, points | exact last layer, % |\n|---|---|---|---|")
    plain: list[Trial] = []
    for variant, method in VARIANTS.items():
        if options.only and variant not in options.only:
            continue
        trials = [
            get_trial(variant, method, pairs[seed % PARTS], name, seed)
            for seed in range(options.models)
        ]
        plain = plain or trials
        print(format_row(variant, trials, plain), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--desirable", default="0-4")
    parser.add_argument("--undesirable", default="5-9")
    main(parser.parse_args())
