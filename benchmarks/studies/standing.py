"""The standing setting for photographs, small enough to compare ways of training on two cores.

python -m benchmarks.studies.standing CIFAR10 [--classes animals] [--without-norms] [--seeds 0 1]
                                      [--epochs 6] [--ways NAME ...] [--table]

A ResNet-20 of 8 channels, with or without its norms, on CIFAR-10 of 16x16 pixels. A fifth of the
training images takes the test set's place, so that settings may be chosen by what this prints.
Each way of `benchmarks/shared/ways.py` is trained and attacked with 100 labels per class by the
attacks that win on photographs, on three draws of labels, beside random weights drawn each time.
A row's head start is that of the two strongest attacks by their means over draws, chosen by test
accuracy, which flatters every row alike. Rows are saved to results/standing.jsonl, where an
interrupted run goes on; with `--table` nothing is run. A Markdown table is printed.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.shared.kept_rows import KeptRows
from benchmarks.shared.photographs import CLASSES
from benchmarks.shared.standing import ATTACKS, SCRATCH, Row, Setting, load_tasks
from benchmarks.shared.ways import list_ways
from rootbound.core.memory import keep_freed_memory
from rootbound.metrics.estimates import estimate


def describe(rows: Sequence[Row]) -> str:
    """Return the table of rows of one setting: means over seeds, with intervals where several."""
    scratch = {row.seed: row.strongest for row in rows if row.way == SCRATCH}
    plain = {row.seed: row.desirable for row in rows if row.way == "Plain"}
    lines = [
        "| way | seeds | desirable, % | price | head start | " + " | ".join(ATTACKS) + " |",
        "|" + "---|" * (5 + len(ATTACKS)),
    ]
    for way in dict.fromkeys(row.way for row in rows):
        own = [row for row in rows if row.way == way and row.seed in scratch]
        if not own:
            continue
        gains = [row.strongest - scratch[row.seed] for row in own]
        prices = [
            usual - row.desirable
            for row in own
            if row.desirable is not None and (usual := plain.get(row.seed)) is not None
        ]
        kept = [row.desirable for row in own if row.desirable is not None]
        by_attack = (
            statistics.mean(statistics.mean(row.reached[name]) for row in own) for name in ATTACKS
        )
        cells = [
            way, str(len(own)), f"{statistics.mean(kept):.1f}" if kept else "–",
            _say(prices) if kept else "–", "–" if way == SCRATCH else _say(gains),
            *(f"{value:.1f}" for value in by_attack),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _say(values: Sequence[float]) -> str:
    if not values:
        return "–"
    found = estimate(values)
    spread = f" ({found.low:.1f} to {found.high:.1f})" if len(values) > 1 else ""
    return f"{found.mean:+.1f}{spread}"


def main() -> None:
    """Run the setting and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--classes", choices=CLASSES, default="animals")
    parser.add_argument("--without-norms", action="store_true")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--ways", nargs="*", default=list(list_ways(1)))
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    setting = Setting(arguments.classes, not arguments.without_norms, arguments.epochs)
    table = KeptRows(
        Path(__file__).parents[1] / "results" / "standing.jsonl",
        Row,
        lambda row: (row.way, Setting(row.classes, row.norms, row.epochs), row.seed),
    )
    if not arguments.table:
        tasks = load_tasks(arguments.data, arguments.classes)
        for seed in arguments.seeds:
            for way in (SCRATCH, *arguments.ways):
                table.find_or_make(
                    (way, setting, seed),
                    lambda way=way, seed=seed: setting.make_row(way, tasks, seed),  # type: ignore[misc]
                )
    rows = [row for row in table.rows() if Setting(row.classes, row.norms, row.epochs) == setting]
    print(describe(rows))


if __name__ == "__main__":
    main()
