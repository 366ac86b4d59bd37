"""How many steps an attacker with all labels saves by starting from the weights of a run.

python -m benchmarks.studies.long_attacks CIFAR10 RUN OUT [--classes animals] [--side 16]
                                          [--width 8] [--seeds 3]

RUN is a folder of `benchmarks.claims.photographs` with the models `Plain` and `BestResponse`. All
of their layers are fine-tuned with all labels for as many steps as each of `STEPS` says, at two
rates, beside random weights. A table shows what the better rate reaches, and which share of the
longest attack on random weights takes the attacker as far. Records go to OUT, where an interrupted
run goes on.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.shared.photographs import CLASSES
from rootbound import metrics
from rootbound.attacks import Budget, FineTune
from rootbound.core.memory import keep_freed_memory
from rootbound.datasets import fitted, load
from rootbound.evaluation import evaluate
from rootbound.networks import Classifier, resnet_20
from rootbound.records import Evaluation
from rootbound.records.run_folder import RunFolder
from rootbound.suites import Suite

STEPS = (100, 180, 320, 560, 1000)
ATTACKS = tuple(FineTune(None, "kept", "adam", rate) for rate in (2e-3, 8e-3))
ARMS = ("undefended", "BestResponse", "scratch")


def main(options: argparse.Namespace) -> None:
    """Attack the models of each seed for each number of steps, and print what they reach."""
    keep_freed_memory()
    torch.set_num_threads(1)
    desirable, undesirable = CLASSES[options.classes]
    shape = (3, options.side, options.side)
    tasks = fitted(load(options.data), shape).split(desirable, undesirable)
    run = RunFolder(options.run)

    def load_model(method: str, seed: int) -> Classifier:
        model = resnet_20(len(desirable), shape, width=options.width)
        model.load_state_dict(load_file(run.weights_file(method, seed)))
        return model

    def attack(seed: int, steps: int) -> Evaluation:
        return evaluate(
            {"BestResponse": load_model("BestResponse", seed)},
            tasks,
            undefended=load_model("Plain", seed),
            suite=Suite("long attacks", ATTACKS, (Budget(None, steps),)),
            seeds=1,
            folder=options.out / f"model_{seed}_steps_{steps}",
        )

    reached: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
    for seed in range(options.seeds):
        found = [attack(seed, steps) for steps in STEPS]
        for arm, rows in reached.items():
            rows.append([_read_best(evaluation, arm) for evaluation in found])
    print(f"| weights | {' | '.join(map(str, STEPS))} steps, % | share of the steps |")
    print(f"{'|---' * (len(STEPS) + 2)}|")
    for arm, rows in reached.items():
        means = " | ".join(f"{statistics.mean(column):.1f}" for column in zip(*rows, strict=True))
        goals = (row[-1] for row in reached["scratch"])
        shares = [find_share(row, goal) for row, goal in zip(rows, goals, strict=True)]
        print(f"| {arm} | {means} | {', '.join(f'{100 * share:.0f} %' for share in shares)} |")


def find_share(reached: Sequence[float], goal: float) -> float:
    """Return which share of the most steps reaches the goal, by log-linear interpolation.

    Below the fewest steps it is the share of those, and 1 where the goal is not reached.

    Args:
        reached: The accuracy reached with each number of `STEPS`.
        goal: The accuracy to reach.
    """
    best_so_far = np.maximum.accumulate(reached)
    if goal > best_so_far[-1]:
        return 1.0
    return float(np.exp(np.interp(goal, best_so_far, np.log(STEPS))) / STEPS[-1])


def _read_best(evaluation: Evaluation, arm: str) -> float:
    (accuracy,) = metrics.attacked(evaluation, arm, None).values()
    return 100 * accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", choices=CLASSES, default="animals")
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    main(parser.parse_args())
