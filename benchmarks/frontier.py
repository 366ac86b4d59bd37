"""The frontier of BestResponse: several weights on one figure, with whatever else was compared.

python benchmarks/frontier.py OUT [OTHER ...] [--data NAME] [--desirable 0-4] [--undesirable 5-9]
                              [--model shallow_cnn] [--suite quick-1] [--seeds 3]

Trains `BestResponse` with each weight, attacks it beside `Plain` and scratch, and draws what it
costs against the worst advantage over scratch in OUT/figures/frontier.svg. OTHER are folders of
`rootbound compare` on the same tasks, whose methods are drawn too. Records are kept in OUT, where
an interrupted run goes on.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from rootbound.core.files import write_atomically
from rootbound.datasets import load
from rootbound.evaluation import compare
from rootbound.methods import BestResponse, Method, Plain
from rootbound.networks import build
from rootbound.records import Evaluation
from rootbound.report.leaderboard.entries import Entry, entries
from rootbound.report.leaderboard.frontier import frontier
from rootbound.report.theme import styled, to_svg


@dataclass(frozen=True)
class Weight002(BestResponse):
    """With weight 0.02."""

    weight: float = 0.02


@dataclass(frozen=True)
class Weight005(BestResponse):
    """With weight 0.05."""

    weight: float = 0.05


@dataclass(frozen=True)
class Weight05(BestResponse):
    """With weight 0.5."""

    weight: float = 0.5


@dataclass(frozen=True)
class Weight1(BestResponse):
    """With weight 1."""

    weight: float = 1.0


METHODS: tuple[Method, ...] = (
    Plain(), Weight002(), Weight005(), BestResponse(), Weight05(), Weight1(),
)  # fmt: skip


def drawn(folders: list[Path]) -> list[Entry]:
    """Return the rows of all runs, each method from the first run that has it."""
    found: dict[str, Entry] = {}
    for folder in folders:
        for entry in entries(Evaluation.load(folder), ()):
            found.setdefault(entry.standing.method, entry)
    return list(found.values())


def main(options: argparse.Namespace) -> None:
    """Run what is missing, and draw."""
    data = load(options.data)
    tasks = data.split(data.chosen(options.desirable), data.chosen(options.undesirable))
    model = build(options.model, len(tasks.desirable.classes), tasks.desirable.train.shape)
    suite, seeds = options.suite, options.seeds
    compare(METHODS, tasks, model, suite=suite, seeds=seeds, workers=2, folder=options.out)
    with styled():
        figure = frontier(drawn([options.out, *options.others]))
        assert figure is not None
        write_atomically(options.out / "figures" / "frontier.svg", to_svg(figure))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("others", type=Path, nargs="*")
    for name, default in (
        ("data", "mnist"), ("desirable", "0-4"), ("undesirable", "5-9"),
        ("model", "shallow_cnn"), ("suite", "quick-1"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--seeds", type=int, default=3)
    main(parser.parse_args())
