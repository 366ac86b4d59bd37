"""The MNIST table of the condition-number paper, and what whitening does to it.

python benchmarks/condition_number_table.py [--workers 2] [--limit PAIRS]

Trains a linear extractor for each of the 90 ordered pairs of digits and each method, attacks it,
and appends a line to results/condition_number_mnist.jsonl; finished lines are not repeated. At the
end results/condition_number_mnist.md is written. One thread a process.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import random
import statistics
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from kept_rows import KeptRows
from linear_immunisation import METHODS, WIDTH, digits, immunise, rises
from rootbound.attacks import Attacker, ExactLastLayer
from rootbound.data import Data
from rootbound.networks import Classifier

RESULTS = Path(__file__).parent / "results" / "condition_number_mnist"
NOTES = Path(__file__).parent / "condition_number_notes.md"
PENALTY, LABELS, DESCENT = 0.1, 5000, (10, 100)
"""Of the whitened probe; the attacker's samples a class; steps of gradient descent."""
PUBLISHED = {
    "R_ill only": (1.93, 0.97, 1.71, 1.02, 9.03),
    "IMMA": (1.77, 0.73, 1.62, 1.00, 6.82),
    "Opt kappa": (69.72, 81.44, 40.65, 2.86, 391.5),
    "theirs": (70.03, 75.41, 45.61, 8.58, 523.2),
}
"""Mean, sd, median, min, max of RIR over pairs, from the grids that the paper prints."""
UNTOUCHED = "identity"
"""In the place of a method: no extractor at all."""

Job = tuple[int, int, str]


@dataclass(frozen=True)
class Record:
    """One extractor: how it was trained, and what became of both tasks.

    Args:
        primary: digit that the extractor is for.
        harmful: digit that it shall make hard.
        method: its name, or `UNTOUCHED`.
        weights: lambda of each regulariser.
        kappa: by what factor kappa rose on the harmful and the primary digit.
        largest: the same of the largest eigenvalue alone.
        whitened: test accuracy of the exact probe, the harmful digit against the rest, in %.
        descent: that of gradient descent with exact line search, after `DESCENT` steps.
        seconds: of training.
    """

    primary: int
    harmful: int
    method: str
    weights: list[float]
    kappa: tuple[float, float]
    largest: tuple[float, float]
    whitened: float
    descent: list[float]
    seconds: float

    @property
    def rir(self) -> float:
        """Relative immunisation ratio (equation 15)."""
        return self.kappa[0] / self.kappa[1]

    @property
    def released_rir(self) -> float:
        """RIR as the authors' code computes it, see the notes."""
        return self.largest[0] / self.largest[1]


@cache
def task(digit: int, part: str) -> Data:
    """Return images of a digit (label 1) and as many of the others (label 0)."""
    inputs, labels = digits(part)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(digit))
    own = order[labels[order] == digit][:LABELS]
    chosen = torch.cat([own, order[labels[order] != digit][: len(own)]])
    return Data(inputs[chosen], (labels[chosen] == digit).long())


def attack(digit: int, theta: Tensor) -> tuple[float, list[float]]:
    """Return test accuracies in % of the exact whitened probe and of gradient descent."""
    learnt, test = task(digit, "train"), task(digit, "test")
    seen, judged = learnt.inputs @ theta, test.inputs @ theta
    rest = Classifier(nn.Sequential(), nn.Linear(WIDTH, 2))
    attacker = Attacker(Data(seen, learnt.labels), 1, torch.Generator())
    (snapshot,) = ExactLastLayer(PENALTY, "whitened").transfer(rest, attacker)
    with torch.no_grad():
        guesses = [snapshot.model(judged)[:, 0].argmax(1)]
    targets = 2 * learnt.labels.double() - 1
    guesses += [(judged @ probe > 0).long() for probe in descend(seen, targets)]
    found = [100 * float((guess == test.labels).double().mean()) for guess in guesses]
    return found[0], found[1:]


def descend(inputs: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """Yield probes by least squares: gradient descent from 0 with exact line search."""
    gram, goal = inputs.T @ inputs, inputs.T @ targets
    probe = torch.zeros_like(goal)
    for step in range(1, max(DESCENT) + 1):
        slope = gram @ probe - goal
        probe = probe - slope * (slope @ slope) / (slope @ gram @ slope)
        if step in DESCENT:
            yield probe


def work(job: Job) -> Record:
    """Train one extractor and measure it."""
    torch.set_num_threads(1)
    primary, harmful, method = job
    started = time.perf_counter()
    theta, weights = torch.eye(WIDTH, dtype=torch.float64), list[float]()
    with threadpool_limits(1):
        if method != UNTOUCHED:
            theta, weights = immunise(*job)
        seconds = round(time.perf_counter() - started, 2)
        harm, benefit = rises(harmful, theta), rises(primary, theta)
        kappa, largest = zip(harm, benefit, strict=True)
        whitened, descent = attack(harmful, theta)
    return Record(primary, harmful, method, weights, kappa, largest, whitened, descent, seconds)


def jobs(limit: int | None) -> Iterator[Job]:
    """Yield what there is to do: each digit untouched, then pairs, in random order, by method."""
    for harmful in range(10):
        yield (harmful + 1) % 10, harmful, UNTOUCHED
    pairs = list(itertools.permutations(range(10), 2))
    # So that the first pairs, where the run is cut short, are a sample of all.
    random.Random(0).shuffle(pairs)
    for pair in pairs[:limit]:
        for method in METHODS:
            yield *pair, method


def told_apart(one: Record) -> Hashable:
    """Return what no two records share."""
    return one.primary, one.harmful, one.method


RECORDS = KeptRows(RESULTS.with_suffix(".jsonl"), Record, told_apart)


def run(workers: int, limit: int | None) -> None:
    """Do what is not done yet, and write the report."""
    done = {told_apart(one) for one in RECORDS.rows()}
    todo = [job for job in jobs(limit) if job not in done]
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for count, record in enumerate(pool.imap_unordered(work, todo), start=1):
            RECORDS.add(record)
            spent = time.perf_counter() - started
            print(f"{count}/{len(todo)} {spent:.0f} s {record}", flush=True)
    RESULTS.with_suffix(".md").write_text(report(RECORDS.rows()))


def report(records: list[Record]) -> str:
    """Return the notes with the tables in them."""
    by_method = {name: [one for one in records if one.method == name] for name in METHODS}
    identity = {one.harmful: one for one in records if one.method == UNTOUCHED}
    ratios, rise, attacked = [], [], [attack_row(UNTOUCHED, [*identity.values()], identity)]
    for name, found in by_method.items():
        ratios.append(ratio_row(name, "paper", PUBLISHED[name]))
        ratios.append(ratio_row("", "kappa by rank", spread([one.rir for one in found])))
        ratios.append(
            ratio_row("", "kappa as released", spread([one.released_rir for one in found]))
        )
        rise.append(rise_row(name, found))
        attacked.append(attack_row(name, found, identity))
    return NOTES.read_text().format(
        pairs=len({(one.primary, one.harmful) for one in records if one.method != UNTOUCHED}),
        ratios="\n".join(ratios),
        rises="\n".join(rise),
        attacks="\n".join(attacked),
    )


def spread(values: list[float]) -> tuple[float, ...]:
    """Return mean, standard deviation, median, smallest and largest."""
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    return mean, deviation, statistics.median(values), min(values), max(values)


def ratio_row(name: str, kind: str, values: tuple[float, ...]) -> str:
    """Return a method's RIR over pairs."""
    return f"| {name} | {kind} | {' | '.join(f'{value:.2f}' for value in values)} |"


def rise_row(name: str, found: list[Record]) -> str:
    """Return the two factors that RIR is the ratio of, and how often it is above 10 or below 1."""
    medians = [statistics.median(one.kappa[place] for one in found) for place in (0, 1)]
    above, below = sum(one.rir > 10 for one in found), sum(one.rir < 1 for one in found)
    return f"| {name} | {medians[0]:.3g} | {medians[1]:.3g} | {above} | {below} |"


def attack_row(name: str, found: list[Record], identity: dict[int, Record]) -> str:
    """Return mean accuracies, and how far whitening is from what it finds in the pixels."""
    descent = zip(*(one.descent for one in found), strict=True)
    columns = [*descent, [one.whitened for one in found]]
    differences = [one.whitened - identity[one.harmful].whitened for one in found]
    cells = [*map(statistics.fmean, columns), statistics.fmean(differences)]
    furthest = max(map(abs, differences))
    return f"| {name} | {' | '.join(f'{value:.2f}' for value in cells)} | {furthest:.2f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limit", type=int, help="only so many pairs")
    chosen = parser.parse_args()
    run(chosen.workers, chosen.limit)
