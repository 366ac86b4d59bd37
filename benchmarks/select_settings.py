"""Choose the settings of the demo's methods on held-out training samples; no test sample is used.

The last 10,000 training images of MNIST take the test set's place. For each candidate, printed
as JSON lines: desirable accuracy, and the exact last layer's accuracy on the undesirable task.

python benchmarks/select_settings.py [BestResponse|SelectiveDistillation|Unlearning]
"""

from __future__ import annotations

import json
import statistics
import sys
from itertools import product

import torch

from rootbound.datasets import Dataset, mnist
from rootbound.evaluation.pictures import with_best_head
from rootbound.methods import BestResponse, Method, SelectiveDistillation, Unlearning
from rootbound.models import shallow_cnn
from rootbound.training import Recipe, accuracy

SEEDS = 3
CANDIDATES: dict[str, list[Method]] = {
    "BestResponse": [
        BestResponse(weight=weight, depth_weight=depth, recipe=Recipe(learning_rate=rate))
        for weight, depth, rate in product((0.1, 0.2, 0.3), (0.3, 0.5), (5e-3, 1e-2))
    ],
    "SelectiveDistillation": [
        SelectiveDistillation(target=target, recipe=Recipe(learning_rate=rate))
        for target, rate in product((-100.0, -10.0, -5.0, -3.0), (5e-3, 1e-2, 2e-2))
    ],
    "Unlearning": [
        Unlearning(impair_rate=impair, repair_rate=repair)
        for impair, repair in ((0.02, 0.01), (0.01, 0.005), (0.005, 0.005), (0.002, 0.002))
    ],
}


def held_out() -> Dataset:
    """Return MNIST with the end of its training set as the test set."""
    full = mnist()
    size = len(full.train) - 10_000
    front, back = torch.arange(size), torch.arange(size, len(full.train))
    return Dataset(
        "MNIST, held out", full.classes, full.train.select(front), full.train.select(back)
    )


def main(names: list[str]) -> None:
    """Print a line for each candidate."""
    torch.set_num_threads(1)
    tasks = held_out().split(range(5), range(5, 10))
    for method in (method for name in names for method in CANDIDATES[name]):
        desirable, undesirable = [], []
        for seed in range(SEEDS):
            model = method.fit(shallow_cnn(5, seed=seed), tasks, seed=seed)
            desirable.append(100 * accuracy(model, tasks.desirable.test))
            attacked = with_best_head(model, tasks.undesirable)
            undesirable.append(100 * accuracy(attacked, tasks.undesirable.test))
        line = {
            "method": repr(method),
            "desirable": round(statistics.fmean(desirable), 2),
            "exact_last_layer": round(statistics.fmean(undesirable), 2),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(CANDIDATES))
