"""Comparisons: methods, or given models, beside the undefended and the from-scratch arm."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from rootbound.attacks import Suite, find_suite
from rootbound.errors import InputError
from rootbound.evaluation.context import describe_run
from rootbound.evaluation.harness import Subject, attack
from rootbound.evaluation.pictures import Array, pictures, save_pictures
from rootbound.evaluation.workers import run_all
from rootbound.files import make_folder
from rootbound.methods import Method
from rootbound.models import Classifier
from rootbound.records import Arm, Evaluation, Record, Training
from rootbound.tasks import TaskPair
from rootbound.training import accuracy


@dataclass(frozen=True, eq=False)
class Contender:
    """What enters a comparison: a method to train with, or weights that exist.

    Args:
        arm: `defended`, `undefended` or `scratch`.
        name: in reports; different for each contender.
        start: the given weights, or the architecture whose weights are drawn by the seed.
        method: trains from `start`; None where the weights are to be attacked as they are.
    """

    arm: Arm
    name: str
    start: Classifier
    method: Method | None = None


@dataclass(frozen=True, eq=False)
class Entry:
    """One contender with one seed: a job of its own."""

    contender: Contender
    seed: int
    pictured: bool


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one job found."""

    training: Training
    records: list[Record]
    pictures: dict[str, Array]


def compare(
    methods: Sequence[Method],
    tasks: TaskPair,
    model: Classifier,
    *,
    suite: Suite | str = "demo-1",
    seeds: int = 3,
    workers: int = 1,
    folder: Path | str | None = None,
) -> Evaluation:
    """Train with each method and seed, attack everything, and return what was measured.

    Args:
        methods: one of each class; those that do not defend are the undefended arm.
        tasks: what is desirable and what is not.
        model: the architecture; its weights are drawn anew for every seed, the same for
            every method.
        suite: attacks and budgets, or the name of them.
        seeds: how many; seed `i` draws weights, batches and the attacker's labels.
        workers: processes.
        folder: where records go as they come, and pictures; nowhere when left out.

    Raises:
        InputError: a method comes twice, the suite is unknown, or a number is not positive.
    """
    names = [type(method).__name__ for method in methods]
    if len(set(names)) != len(names) or not names:
        raise InputError(
            "each method once, and at least one", ", ".join(names) or "none", "list them"
        )
    contenders = [
        Contender("defended" if method.defends else "undefended", name, model, method)
        for method, name in zip(methods, names, strict=True)
    ]
    return _run(
        [*contenders, Contender("scratch", "scratch", model)], tasks, suite, seeds, workers, folder
    )


def evaluate(
    defended: Classifier,
    tasks: TaskPair,
    *,
    undefended: Classifier | None = None,
    suite: Suite | str = "demo-1",
    seeds: int = 3,
    workers: int = 1,
    folder: Path | str | None = None,
) -> Evaluation:
    """Attack a model that exists, beside fresh weights of its architecture.

    Args:
        defended: the model that is claimed to resist.
        tasks: what is desirable and what is not.
        undefended: the same without intervention, for comparison.
        suite: attacks and budgets, or the name of them.
        seeds: the attacker's, and those of the fresh weights.
        workers: processes.
        folder: where records go as they come, and pictures; nowhere when left out.

    Raises:
        InputError: the suite is unknown, or a number is not positive.
    """
    contenders = [Contender("defended", "defended", defended)]
    if undefended is not None:
        contenders.insert(0, Contender("undefended", "undefended", undefended))
    scratch = Contender("scratch", "scratch", defended)
    return _run([*contenders, scratch], tasks, suite, seeds, workers, folder)


def _run(
    contenders: Sequence[Contender],
    tasks: TaskPair,
    suite: Suite | str,
    seeds: int,
    workers: int,
    folder: Path | str | None,
) -> Evaluation:
    suite = find_suite(suite)
    if seeds < 1 or workers < 1:
        raise InputError("at least 1 seed and 1 worker", f"{seeds} and {workers}", "raise them")
    _check(contenders, tasks, suite)
    if folder is not None:
        make_folder(Path(folder))
    context = describe_run(tasks, suite, seeds, contenders[-1].start)
    run = _Run(contenders, Evaluation(context, (), (), complete=False), folder)
    # Defended models take longest and scratch the least: so no worker ends with a long job.
    by_length = sorted(
        contenders, key=lambda one: ("defended", "undefended", "scratch").index(one.arm)
    )
    entries = [
        Entry(contender, seed, pictured=seed == 0 and contender.arm != "scratch")
        for seed in range(seeds)
        for contender in by_length
    ]
    started = time.perf_counter()
    outcomes = run_all(_work, entries, (tasks, suite), workers=workers)
    bar = tqdm(outcomes, "training and attacking", len(entries), unit="model", disable=None)
    for outcome in bar:
        run.add(outcome)
    return run.finish(time.perf_counter() - started, workers)


def _check(contenders: Sequence[Contender], tasks: TaskPair, suite: Suite) -> None:
    """Raise what can be known to be wrong before hours of work."""
    for contender in contenders:
        contender.start.check_inputs(tasks.undesirable.train.shape)
        if contender.start.classes != len(tasks.desirable.classes):
            raise InputError(
                f"a model with a head for {len(tasks.desirable.classes)} desirable classes",
                f"one for {contender.start.classes}",
                "build the model with that many classes",
            )
    contenders[-1].start.reinitialised(seed=0)
    fewest = int(tasks.undesirable.train.labels.bincount().min())
    for budget in suite.budgets:
        if budget.labels is not None and budget.labels >= fewest:
            raise InputError(
                f"fewer labels a class than the attacker's {fewest}",
                str(budget.labels),
                "ask for fewer or bring more undesirable data",
            )


def _work(entry: Entry, tasks: TaskPair, suite: Suite) -> Outcome:
    contender, seed = entry.contender, entry.seed
    model, settings, seconds = contender.start, "as given", 0.0
    if contender.method is not None:
        started = time.perf_counter()
        model = contender.method.fit(model.reinitialised(seed), tasks, seed=seed)
        seconds, settings = time.perf_counter() - started, repr(contender.method)
    elif contender.arm == "scratch":
        model, settings = model.reinitialised(seed), "random weights"
    desirable = None if contender.arm == "scratch" else accuracy(model, tasks.desirable.test)
    training = Training(contender.arm, contender.name, settings, seed, desirable, seconds)
    records = attack(Subject(contender.arm, contender.name, seed, model), tasks.undesirable, suite)
    return Outcome(training, records, pictures(model, tasks) if entry.pictured else {})


class _Run:
    """Collects outcomes in any order; what it keeps and writes is in a fixed one."""

    def __init__(
        self, contenders: Sequence[Contender], empty: Evaluation, folder: Path | str | None
    ) -> None:
        self.order = [contender.name for contender in contenders]
        self.evaluation = empty
        self.folder = None if folder is None else Path(folder)
        self.outcomes: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.outcomes.sort(
            key=lambda one: (self.order.index(one.training.method), one.training.seed)
        )
        self.evaluation = replace(
            self.evaluation,
            trainings=tuple(one.training for one in self.outcomes),
            records=tuple(record for one in self.outcomes for record in one.records),
        )
        self._save()
        if outcome.pictures and self.folder is not None:
            arrays: dict[str, Array] = {
                f"{one.training.method}/{name}": array
                for one in self.outcomes
                for name, array in one.pictures.items()
            }
            save_pictures(self.folder, arrays)

    def finish(self, seconds: float, workers: int) -> Evaluation:
        context = {**self.evaluation.context, "seconds": seconds, "workers": workers}
        self.evaluation = replace(self.evaluation, context=context, complete=True)
        self._save()
        return self.evaluation

    def _save(self) -> None:
        if self.folder is not None:
            self.evaluation.save(self.folder)
