"""A given ResNet-20 made resistant to clothes in a third of its epochs, by every method.

python benchmarks/existing_model.py CIFAR10 [--fashion FOLDER] [--epochs 3] [--width 16]
                                    [--precision bfloat16] [--device cpu] [--test]
                                    [--only NAME ...] [--figure FILE]

CIFAR10: as `--data` takes it; FOLDER likewise, of Fashion-MNIST. A fifth of each training set takes
the test set's place, so that what `examples/existing_model.sh` sets may be chosen by what this
prints; `--test` is for what is reported. The given model is `Plain` on animals; features of digits,
as a control, are learned from random weights instead; every row after that is the given model after
a method: `BestResponse` at some rates and weights, and every published one at its defaults, which
may train the desirable task for those epochs, too, before its own steps.
Attacked with 100 labels a class, two draws: the exact last layer, linear probes of the block before
and of all blocks at once, and the best by test accuracy of two fine-tunings and of the attacks that
know the method, on the 500 test images of the harness's curves. Rows are kept in
results/existing_model.jsonl, where an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from kept_rows import KeptRows
from photographs import CLASSES, a_fifth_aside
from price_figure import Panel, Spot, price_figure
from rootbound.attacks import Attack, Budget, ExactLastLayer, FineTune
from rootbound.attacks.probes import Reading, RidgeHead
from rootbound.core.devices import PRECISIONS, computing_in, find_device, on
from rootbound.core.errors import InputError
from rootbound.core.memory import keep_freed_memory
from rootbound.data import Augmentation, Task, TaskPair
from rootbound.datasets import fitted, load
from rootbound.evaluation import Subject, attack
from rootbound.methods import METHODS, BestResponse, GenericFeatures, Method, Plain
from rootbound.networks import Classifier, resnet_20
from rootbound.suites import Suite
from rootbound.training import Recipe, accuracy

KINDS: dict[str, tuple[Attack, ...]] = {
    "last": (ExactLastLayer(1e-3, "standardised"),),
    "below": (RidgeHead(1e-1, "standardised", reading=Reading(1)),),
    "all_blocks": (RidgeHead(1e-1, "standardised", reading=Reading("all")),),
    "tuned": tuple(FineTune(None, "kept", "adam", rate) for rate in (2e-3, 8e-3)),
}
LABELS = 100
BUDGET = Budget(LABELS, 80)
DRAWS = 2
SCORED = 4000
"""Test images of which those are taken, evenly."""
RANDOM, GIVEN, DIGITS = "random weights", "as given", "features of digits"
OURS = "BestResponse"
"""The row that the held-out samples chose."""


@dataclass(frozen=True)
class Setting:
    """What all rows of a table have in common."""

    epochs: int
    width: int
    precision: str
    test: bool

    @property
    def recipe(self) -> Recipe:
        """How the given model is trained."""
        augmentation = Augmentation(shift=3, flip=True)
        return Recipe(
            self.epochs, learning_rate=1e-2, augmentation=augmentation, precision=self.precision
        )

    @property
    def afterwards(self) -> Recipe:
        """How long and how fast it is made resistant."""
        return replace(self.recipe, epochs=max(1, self.epochs // 3))


@dataclass(frozen=True)
class Row:
    """What one model keeps and what it is worth to attackers, in percent.

    Args:
        name: of the model.
        settings: of its method as Python would write it; empty for what none has changed.
        setting: of all rows.
        seconds: of training, without that of the given model.
        desirable: accuracy on desirable classes.
        last: of the best last layer.
        below: of a linear probe of the block before.
        all_blocks: of one of all blocks at once.
        tuned: of the strongest fine-tuning.
    """

    name: str
    settings: str
    setting: Setting
    seconds: float
    desirable: float
    last: float
    below: float
    all_blocks: float
    tuned: float

    @property
    def strongest(self) -> float:
        """Return what the best attack of any kind reached."""
        return max(self.last, self.below, self.all_blocks, self.tuned)


@dataclass(frozen=True)
class Bench:
    """Models that begin from one given model, and what they are worth."""

    setting: Setting
    tasks: TaskPair

    @cached_property
    def fresh(self) -> Classifier:
        """The network with random weights."""
        model = resnet_20(len(self.tasks.desirable.classes), width=self.setting.width)
        return model.to(torch.get_default_device())

    @cached_property
    def given(self) -> Classifier:
        """The model that exists."""
        return Plain(self.setting.recipe).fit(self.fresh, self.tasks)

    def row(self, name: str, method: Method | None) -> Row:
        """Train and attack one model."""
        start = self.fresh if name in (RANDOM, DIGITS) else self.given
        started = time.perf_counter()
        model = start if method is None else method.fit(start, self.tasks)
        seconds = time.perf_counter() - started if method is not None else 0.0
        settings = "" if method is None else repr(method)
        kept = 100 * accuracy(model, self.tasks.desirable.test)
        knowing = () if method is None else method.adaptive_attacks()
        with computing_in(self.setting.precision):
            found = worth(name, model, self.tasks.undesirable, knowing)
        return Row(name, settings, self.setting, seconds, kept, **found)


def worth(
    name: str, model: Classifier, task: Task, knowing: tuple[Attack, ...]
) -> dict[str, float]:
    """Return the percentages of the best attack of each kind, means over draws of labels."""
    shorter = replace(task, test=task.test.subset(SCORED))
    found = {}
    for kind, attacks in KINDS.items():
        known = tuple(dict.fromkeys((*attacks, *knowing))) if kind == "tuned" else attacks
        best = []
        for draw in range(DRAWS):
            drawn = model.reinitialised(draw) if name == RANDOM else model
            records = attack(
                Subject("defended", name, draw, drawn), shorter, Suite("one", known, (BUDGET,))
            )
            best.append(100 * max(record.test[-1] for record in records if record.test))
        found[kind] = statistics.fmean(best)
    return found


def candidates(setting: Setting) -> Mapping[str, Method | None]:
    """Return what may be done with the given model, by name, and what it stands beside."""
    recipe = setting.afterwards
    rates = [(f"peak rate {rate:g}", rate) for rate in (1e-3, 3e-3, 1e-2)]
    waiting = {name: BestResponse(replace(recipe, learning_rate=rate)) for name, rate in rates}
    ours = BestResponse(recipe, wait=0.0)
    published = {
        name: replace(one, recipe=replace(recipe, learning_rate=one.recipe.learning_rate))
        for name, one in ((name, method()) for name, method in METHODS.items())
        if name not in ("Plain", OURS)
    }
    return {
        RANDOM: None,
        GIVEN: None,
        DIGITS: GenericFeatures(setting.recipe, "mnist"),
        OURS: ours,
        **published,
        **waiting,
        "peak rate 0.003, at once": replace(ours, recipe=replace(recipe, learning_rate=3e-3)),
        "depth weight 5": replace(ours, depth_weight=5.0),
        "depth weight 10": replace(ours, depth_weight=10.0),
        "depth weight 10, first block trained to the end": replace(
            ours, depth_weight=10.0, settled=1.0
        ),
    }


def read(setting: dict[str, Any], **fields: Any) -> Row:
    """Return a row as it was kept."""
    return Row(setting=Setting(**setting), **fields)


def told_apart(row: Row) -> Hashable:
    """Return what no two rows share."""
    return row.settings or row.name, row.setting


ROWS = KeptRows(Path(__file__).parent / "results" / "existing_model.jsonl", read, told_apart)


def found(bench: Bench, name: str, method: Method | None) -> Row:
    """Return a row, made now if it is not among those kept."""
    key = name if method is None else repr(method), bench.setting
    return replace(ROWS.found(key, lambda: bench.row(name, method)), name=name)


def frontier(rows: Sequence[Row], file: Path) -> None:
    """Draw what every method costs against its advantage over random weights."""
    by_name = {row.name: row for row in rows}
    scratch, given = by_name.pop(RANDOM), by_name[GIVEN]
    spots = {
        row.name: Spot(
            row.name,
            given.desirable - row.desirable,
            row.strongest - scratch.strongest,
            row.settings,
        )
        for row in by_name.values()
    }
    control = spots.pop(DIGITS, None)
    price_figure([Panel(LABELS, list(spots.values()), control)], file)


def main(options: argparse.Namespace) -> None:
    """Read the data, and do the rest where the device is."""
    keep_freed_memory()
    torch.set_num_threads(1)
    setting = Setting(options.epochs, options.width, options.precision, options.test)
    data, clothes = load(options.data), load(options.fashion)
    if not options.test:
        data, clothes = a_fifth_aside(data), a_fifth_aside(clothes)
    wanted = data.split(*CLASSES["animals"]).desirable
    unwanted = fitted(clothes, wanted.train.shape).task(range(10))
    device = find_device(options.device)
    with on(device):
        table(options, Bench(setting, TaskPair.of(wanted, unwanted).to(device)))


def table(options: argparse.Namespace, bench: Bench) -> None:
    """Make the rows that are missing, print the table and draw the frontier."""
    rows = []
    print(
        "| model | desirable | last layer | block below | all blocks | fine-tuned | training, s |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, method in candidates(bench.setting).items():
        if options.only and name not in options.only:
            continue
        try:
            row = found(bench, name, method)
        except InputError as reason:  # a method that is not for such a network
            print(f"| {name} | {reason} | | | | | |", flush=True)
            continue
        rows.append(row)
        numbers = " | ".join(f"{value:.1f}" for value in astuple(row)[4:])
        print(f"| {name} | {numbers} | {row.seconds:.0f} |", flush=True)
    if options.figure:
        frontier(rows, options.figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--fashion", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--precision", choices=PRECISIONS, default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--figure", type=Path)
    main(parser.parse_args())
