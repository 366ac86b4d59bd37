"""Which blocks hold the head start? The first ones are kept, all others are drawn anew.

python -m benchmarks.studies.kept_blocks CIFAR10 [--classes animals] [--seeds 0] [--epochs 6]
                                         [--ways Plain BestResponse rotations] [--table]

The standing setting for photographs is in `shared/standing.py`. A network is trained in each way;
then its last blocks get random weights and all of it is fine-tuned on 100 labels per class, at two
rates, of which the better by the mean over draws counts. Rows are saved to
results/kept_blocks.jsonl, where an interrupted run goes on; with `--table` nothing is run. A
Markdown table of head starts over random weights is printed.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.shared.kept_rows import KeptRows
from benchmarks.shared.photographs import CLASSES
from benchmarks.shared.standing import SCRATCH, Setting, attack, load_tasks
from benchmarks.shared.ways import list_ways
from rootbound.attacks import Attack, FineTune
from rootbound.attacks.repairs import ReinitialiseLast, Repaired
from rootbound.core.memory import keep_freed_memory
from rootbound.data import TaskPair

BLOCKS = 10
"""Number of blocks of a ResNet-20: its first convolution, and nine residual blocks."""
KEPT = (1, 2, 4, 7, 9, 10)
RATES = (2e-3, 8e-3)


@dataclass(frozen=True)
class Row:
    """What attackers reach from the first blocks of one model, in percent.

    Args:
        way: A key of `list_ways`, or `SCRATCH`, of which nothing is kept.
        kept: How many of the first blocks are kept.
        classes: A key of `CLASSES`.
        norms: Whether the network has its norms.
        epochs: Passes over the desirable images.
        seed: Seed of the training; the draws of labels depend on it.
        reached: What fine-tuning reaches on each draw, by learning rate.
    """

    way: str
    kept: int
    classes: str
    norms: bool
    epochs: int
    seed: int
    reached: dict[str, list[float]]

    @property
    def best(self) -> float:
        """The better rate's mean over draws."""
        return max(statistics.mean(values) for values in self.reached.values())


def list_attacks(kept: int) -> dict[str, Attack]:
    """Return the fine-tunings from the first blocks."""
    tuned = {f"{rate:g}": FineTune(None, "kept", "adam", rate) for rate in RATES}
    if kept in (0, BLOCKS):
        return dict(tuned)
    return {
        name: Repaired(ReinitialiseLast(BLOCKS - kept), tuning) for name, tuning in tuned.items()
    }


def make_rows(setting: Setting, way: str, tasks: TaskPair, seed: int) -> list[Row]:
    """Train a network in one way; return a row for each number of blocks that is kept."""
    model, is_scratch = setting.network(seed), way == SCRATCH
    if not is_scratch:
        model = list_ways(setting.epochs)[way].fit(model, tasks, seed=seed)
    return [
        Row(
            way, kept, setting.classes, setting.norms, setting.epochs, seed,
            attack(model, tasks, seed, list_attacks(kept), anew=is_scratch),
        )
        for kept in ((0,) if is_scratch else KEPT)
    ]  # fmt: skip


def describe(rows: Sequence[Row]) -> str:
    """Return the table: head starts over random weights, means over seeds."""
    scratch = {row.seed: row.best for row in rows if row.way == SCRATCH}
    lines = [
        f"| blocks kept | {' | '.join(map(str, KEPT))} |",
        "|" + "---|" * (1 + len(KEPT)),
    ]
    for way in dict.fromkeys(row.way for row in rows if row.way != SCRATCH):
        cells = []
        for kept in KEPT:
            gains = [
                row.best - scratch[row.seed]
                for row in rows
                if (row.way, row.kept) == (way, kept) and row.seed in scratch
            ]
            cells.append(f"{statistics.mean(gains):+.1f}" if gains else "–")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--classes", choices=CLASSES, default="animals")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--ways", nargs="*", default=["Plain", "BestResponse", "rotations"])
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    setting = Setting(arguments.classes, True, arguments.epochs)
    table = KeptRows(
        Path(__file__).parents[1] / "results" / "kept_blocks.jsonl",
        Row,
        lambda row: (row.way, row.kept, Setting(row.classes, row.norms, row.epochs), row.seed),
    )
    if not arguments.table:
        tasks = load_tasks(arguments.data, arguments.classes)
        for seed in arguments.seeds:
            for way in (SCRATCH, *arguments.ways):
                present = {(row.way, row.seed) for row in table.rows()}
                if (way, seed) not in present:
                    for row in make_rows(setting, way, tasks, seed):
                        table.add(row)
    rows = [row for row in table.rows() if Setting(row.classes, row.norms, row.epochs) == setting]
    print(describe(rows))


if __name__ == "__main__":
    main()
