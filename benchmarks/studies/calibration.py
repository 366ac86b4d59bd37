"""Are intervals and gates right? Fresh random weights in the place of the model, many times.

python -m benchmarks.studies.calibration FOLDER [--audits 40] [--workers 2]
python -m benchmarks.studies.calibration FOLDER --data CIFAR10 [--side 16]

Random weights are worth what random weights are worth: on average, their head start is 0. Each
audit has a model of its own, and labels and scratch weights of its own for each of its draws. The
share of audits in which a gate of one point says "does not hold" is its error rate. The undefended
model is shown beside them. Its head start is not 0, so a gate that says "holds" is wrong there.

An audit's interval is that of its own weights, and some random weights are better than others. So
0 is in fewer of them than 95 %. Two audits of the same weights show whether the intervals are
right: draws of labels are divided into two halves, whose means should differ by no more than the
half-width of their difference in 95 % of cases.

Audits are made a few at a time, each few in a folder of their own that begins with what the one
before has. So an interrupted study continues, and `--audits 0` reports the part that is complete.
A Markdown table is printed.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from scipy.stats import t

import rootbound as rb
from rootbound.attacks import Budget
from rootbound.data import TaskPair
from rootbound.datasets import Dataset
from rootbound.evaluation import compare
from rootbound.methods import Method, Plain
from rootbound.metrics import measures as metrics
from rootbound.networks import Classifier, shallow_cnn
from rootbound.records import Evaluation, records_file
from rootbound.records.run_folder import RunFolder
from rootbound.report.cells import in_words
from rootbound.suites import QUICK_2, STANDARD_2
from rootbound.training import Recipe

SUITE = replace(
    QUICK_2,
    name="quick-2 with one label",
    budgets=(Budget(1, 60), *QUICK_2.budgets),
    draws=(QUICK_2.draws[0], *QUICK_2.draws),
    blind=STANDARD_2.blind,
    controls=False,
)
LIMIT = 1.0
"""Points that the gate allows."""
LEAST_IN_HALF = 4
"""Draws that each half has at least."""
AT_ONCE = 4
"""Audits that are made together."""


@dataclass(frozen=True)
class RandomWeights(Method):
    """No training at all: weights are drawn anew, other than those of scratch."""

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Draw the weights anew."""
        seed = int(torch.randint(2**31, (), generator=generator))
        model.load_state_dict(model.reinitialised(seed).state_dict())


def list_audits(evaluation: Evaluation) -> list[Evaluation]:
    """Return each seed as an audit of its own."""
    found = []
    for seed in range(evaluation.context["seeds"]):
        records = tuple(one for one in evaluation.records if one.seed == seed)
        trainings = tuple(one for one in evaluation.trainings if one.seed == seed)
        found.append(replace(evaluation, records=records, trainings=trainings))
    return found


def agree(audit: Evaluation, method: str, labels: int | None) -> bool | None:
    """Return whether two halves of an audit's draws say the same; None where they are too few."""
    drawn = sorted({one.attacker for one in audit.records if one.labels == labels})
    # The first draw chooses the attacks, except with one label per class.
    choosing, counted = ([], drawn) if labels == 1 else (drawn[:1], drawn[1:])
    if len(counted) < 2 * LEAST_IN_HALF:
        return None
    gains = []
    for half in (counted[::2], counted[1::2]):
        kept = {*choosing, *half}
        records = tuple(one for one in audit.records if one.attacker in kept)
        gains.append(metrics.advantage(replace(audit, records=records), method, labels))
    first, second = gains
    if first is None or second is None:
        return None
    sizes = [len(counted[::2]), len(counted[1::2])]
    errors = [
        (gain.high - gain.low) / 2 / float(t.ppf(0.975, size - 1))
        for gain, size in zip((first, second), sizes, strict=True)
    ]
    factor = float(t.ppf(0.975, sum(sizes) - 2))
    return abs(first.mean - second.mean) <= factor * math.hypot(*errors)


def describe(evaluation: Evaluation) -> str:
    """Return the table."""
    lines = [
        "| model | labels | audits | mean head start | median half-width | intervals with 0 "
        f"| halves that agree | gate at {LIMIT:g}: holds | does not | undecided |",
        "|" + "---|" * 10,
    ]
    several = list_audits(evaluation)
    for method in ("RandomWeights", "Plain"):
        for labels in metrics.budgets(evaluation):
            gains = [metrics.advantage(one, method, labels) for one in several]
            known = [gain for gain in gains if gain is not None]
            ends = [
                cell.end
                for one in several
                for cell in metrics.decide(one, method, LIMIT).cells
                if cell.labels == labels
            ]
            halves = statistics.median((gain.high - gain.low) / 2 for gain in known)
            holding = sum(gain.low <= 0 <= gain.high for gain in known)
            agreeing = [agree(one, method, labels) for one in several]
            told = [one for one in agreeing if one is not None]
            mean = metrics.estimate([gain.mean for gain in known])
            alike = f"{sum(told)} of {len(told)}" if told else ""
            lines.append(
                f"| {method} | {in_words(labels)} | {len(known)} | {mean.mean:+.2f} "
                f"({mean.low:.2f} to {mean.high:.2f}) | {halves:.2f} | {holding} "
                f"| {alike} | {ends.count('holds')} | {ends.count('does not hold')} "
                f"| {ends.count('undecided')} |"
            )
        ends = [metrics.decide(one, method, LIMIT).end for one in several]
        lines.append(
            f"| {method} | all together | {len(several)} | | | | | {ends.count('holds')} "
            f"| {ends.count('does not hold')} | {ends.count('undecided')} |"
        )
    return "\n".join(lines)


def run_audits(folder: Path, data: Dataset, wanted: int, workers: int) -> None:
    """Make audits a few at a time; `folder/8` has the first eight."""
    channels, height, width = data.train.shape
    fewer: Path | None = None
    for count in (*range(AT_ONCE, wanted, AT_ONCE), wanted):
        compare(
            [Plain(Recipe(epochs=1)), RandomWeights()],
            data.split(desirable=range(5), undesirable=range(5, 10)),
            shallow_cnn(classes=5, shape=(channels, height, width)),
            suite=SUITE,
            seeds=count,
            workers=workers,
            folder=RunFolder(folder / str(count), extends=fewer),
        )
        fewer = folder / str(count)


def main() -> None:
    """Run the audits and print what they say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", help="MNIST unless another data set is named")
    parser.add_argument("--side", type=int, help="of images, in pixels; their own by default")
    parser.add_argument("--audits", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.audits:
        data = rb.datasets.mnist()
        if arguments.data is not None:
            data = rb.datasets.load(arguments.data)
        if arguments.side is not None:
            channels = data.train.shape[0]
            data = rb.datasets.fitted(data, (channels, arguments.side, arguments.side))
        run_audits(arguments.folder, data, arguments.audits, arguments.workers)
    complete = [path for path in arguments.folder.glob("[0-9]*") if records_file(path).exists()]
    print(describe(Evaluation.load(max(complete, key=lambda path: int(path.name)))))


if __name__ == "__main__":
    main()
