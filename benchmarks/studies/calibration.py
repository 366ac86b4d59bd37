"""Are intervals and gates right? Fresh random weights in the place of the model, many times.

python -m benchmarks.studies.calibration FOLDER [--data mnist] [--audits 40] [--workers 2]

Random weights are worth what random weights are worth: their head start over scratch is 0. Each
audit has a model of its own, and labels and scratch weights of its own for each of its draws. So
the share of intervals that hold 0 is their coverage, and the share of audits in which a gate of
one point says "does not hold" is its error rate. Beside them the undefended model, whose head
start is not 0: there a gate errs that says "holds". An interrupted run goes on in its folder.
A Markdown table is printed.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rootbound.attacks import Budget
from rootbound.data import TaskPair
from rootbound.evaluation import compare
from rootbound.methods import Method, Plain
from rootbound.networks import Classifier, shallow_cnn
from rootbound.suites import QUICK_2, STANDARD_2
from rootbound.training import Recipe

SUITE = replace(
    QUICK_2,
    name="quick-2 with one label",
    budgets=(Budget(1, 60), *QUICK_2.budgets),
    draws=(5, *QUICK_2.draws),
    blind=STANDARD_2.blind,
    controls=False,
)


@dataclass(frozen=True)
class RandomWeights(Method):
    """Training that never happened: weights drawn anew, and not those of scratch."""

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Draw the weights anew."""
        seed = int(torch.randint(2**31, (), generator=generator))
        model.load_state_dict(model.reinitialised(seed).state_dict())


def main() -> None:
    """Run the audits and print what they say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--audits", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    import rootbound as rb  # noqa: PLC0415

    tasks = rb.datasets.mnist().split(desirable=range(5), undesirable=range(5, 10))
    compare(
        [Plain(Recipe(epochs=1)), RandomWeights()],
        tasks,
        shallow_cnn(classes=5),
        suite=SUITE,
        seeds=arguments.audits,
        workers=arguments.workers,
        folder=arguments.folder,
    )


if __name__ == "__main__":
    main()
