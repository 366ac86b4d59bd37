"""Comparisons: methods, or given models, beside the undefended and the from-scratch arm."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from rootbound.attacks import Attack
from rootbound.core.errors import InputError
from rootbound.data import TaskPair, Tasks
from rootbound.datasets.rotations import rotations
from rootbound.evaluation.assignments import Assignment
from rootbound.evaluation.context import describe_run, specification
from rootbound.evaluation.controls import controls
from rootbound.evaluation.course import Course
from rootbound.evaluation.halving import Halving, TimeLimit
from rootbound.evaluation.harness import Holdings
from rootbound.evaluation.jobs import Contender, Entry, Job, Outcome, Result, salvage, work
from rootbound.evaluation.journal import Journal
from rootbound.evaluation.limits import Limits
from rootbound.execution import Engine, engine_for
from rootbound.methods import Method
from rootbound.methods.names import names
from rootbound.networks import Classifier
from rootbound.records import Evaluation, RunFolder
from rootbound.suites import Suite, find_suite

log = logging.getLogger(__name__)


def compare(
    methods: Sequence[Method],
    tasks: TaskPair,
    model: Classifier,
    *,
    suite: Suite | str = "demo-1",
    seeds: int = 3,
    workers: int | Engine = 1,
    folder: RunFolder | Path | str | None = None,
    pretrained: bool = False,
) -> Evaluation:
    """Train with each method and seed, attack everything, and return what was measured.

    Args:
        methods: each once, several of a class with other settings if asked for; those that do
            not defend are the undefended arm.
        tasks: what is desirable and what is not.
        model: the architecture; its weights are drawn anew for every seed, the same for
            every method, unless they are `pretrained`.
        suite: attacks and budgets, or the name of them.
        seeds: how many; seed `i` draws weights, batches and the attacker's labels.
        workers: processes; or where else: `rb.execution.RayCluster()`, `Pool(2, device="cuda")`.
        folder: of this run and no other: records go there as they come, and pictures; a run
            that was interrupted goes on. Nowhere when left out.
        pretrained: train every method from the model's own weights. Scratch is random all the
            same: what the given weights are worth is known from a method that keeps them.

    Raises:
        InputError: the folder holds another run, a method comes twice, the suite is unknown, or
            a number is not positive.
    """
    called = names(methods)
    if len(set(called)) != len(called) or not called:
        raise InputError(
            "each method once, and at least one", ", ".join(called) or "none", "list them"
        )
    contenders = [
        Contender("defended" if method.defends else "undefended", name, model, method, pretrained)
        for method, name in zip(methods, called, strict=True)
    ]
    contenders.append(Contender("scratch", "scratch", model))
    chosen = find_suite(suite).with_attacks(
        tuple(attack for method in methods for attack in method.adaptive_attacks())
    )
    return _run(contenders, tasks, chosen, None, seeds, workers, folder)


def evaluate(
    defended: Classifier | Mapping[str, Classifier],
    tasks: Tasks,
    *,
    undefended: Classifier | None = None,
    adaptive: Sequence[Attack] = (),
    suite: Suite | str = "demo-1",
    seeds: int = 3,
    workers: int | Engine = 1,
    folder: RunFolder | Path | str | None = None,
) -> Evaluation:
    """Attack models that exist, beside fresh weights of their architecture.

    Args:
        defended: the model that is claimed to resist; or several of them by name, which share
            the other arms.
        tasks: what is desirable and what is not; or `Tasks.alone(task)`, where only the undesirable
            one is known. Then attacks that need desirable samples are left out.
        undefended: the same without intervention, for comparison.
        adaptive: attacks that know the defence, besides the suite's; every arm meets them.
        suite: attacks and budgets, or the name of them.
        seeds: the attacker's, and those of the fresh weights.
        workers: processes; or where else: `rb.execution.RayCluster()`, `Pool(2, device="cuda")`.
        folder: of this run and no other: records go there as they come, and pictures; a run
            that was interrupted goes on. Nowhere when left out.

    Raises:
        InputError: the folder holds another run, the suite is unknown, a number is not positive,
            or there is no model.
    """
    models = {"defended": defended} if isinstance(defended, Classifier) else dict(defended)
    if not models or {"undefended", "scratch"} & set(models):
        raise InputError(
            "defended models by name, none called undefended or scratch",
            ", ".join(models) or "none",
            "rename it",
        )
    contenders = [Contender("defended", name, model) for name, model in models.items()]
    if undefended is not None:
        contenders.insert(0, Contender("undefended", "undefended", undefended))
    # What a defence has added to the network (a gate, say) is no part of starting afresh.
    fresh = undefended or next(iter(models.values()))
    contenders.append(Contender("scratch", "scratch", fresh))
    chosen = find_suite(suite).with_attacks(tuple(adaptive))
    return _run(contenders, tasks, chosen, undefended, seeds, workers, folder)


def _run(
    contenders: Sequence[Contender],
    tasks: Tasks,
    suite: Suite,
    sibling: Classifier | None,
    seeds: int,
    workers: int | Engine,
    folder: RunFolder | Path | str | None,
) -> Evaluation:
    """Attack every contender; the last is the model from scratch."""
    if seeds < 1:
        raise InputError("at least 1 seed", str(seeds), "raise it")
    engine = engine_for(workers)
    _check(contenders, tasks, suite)
    spec = specification(tasks, suite, seeds, contenders)
    context = {"run": spec.digest, **describe_run(tasks, suite, seeds, contenders)}
    if suite.controls:
        contenders = [*contenders, *controls(contenders[-1].start, tasks.undesirable.train)]
    wanted = tasks.desirable
    if suite.benign and tasks.benign is None and wanted is not None:
        tasks = replace(tasks, benign=rotations(wanted))
    limits = Limits(suite.trial_limit, Limits.memory / engine.together, engine.patience)
    holdings = Holdings(None if wanted is None else wanted.train, sibling, limits)
    claimed = None if folder is None else _as_folder(folder).claim(spec, context)
    journal = Journal(context, [one.name for one in contenders], suite, claimed)
    if (before := journal.whole()) is not None:
        log.info("%s holds this run, complete: nothing is done again", folder)
        return before
    return _carried_out(
        _entries(contenders, seeds, journal),
        journal,
        _usable(suite, holdings),
        tasks,
        holdings,
        engine,
    )


def _carried_out(
    entries: Sequence[Entry],
    journal: Journal,
    suite: Suite,
    tasks: Tasks,
    holdings: Holdings,
    engine: Engine,
) -> Evaluation:
    """Make every entry ready and attack it, unless that was done; return all that was found."""
    started, benign = time.perf_counter(), tasks.benign is not None
    with engine.open(work, (tasks, holdings, engine.device), salvage) as crew:
        course: Course | Halving = Course(suite, journal.recall, benign=benign)
        if suite.minutes is not None:
            limit = TimeLimit(suite.minutes, crew.workers)
            course = Halving(suite, journal, benign=benign, subjects=len(entries), limit=limit)
        steps = _Steps(journal, course)
        jobs = steps.begin(entries)
        with tqdm(desc="training and attacking", total=len(jobs), disable=None) as bar:
            for _ in crew.run(jobs, steps.follow):
                bar.total = len(jobs) + steps.assigned
                bar.update()
    seconds = time.perf_counter() - started
    if isinstance(course, Halving):
        return journal.finish(seconds, crew.workers, time=course.account())
    return journal.finish(seconds, crew.workers)


def _as_folder(folder: RunFolder | Path | str) -> RunFolder:
    return folder if isinstance(folder, RunFolder) else RunFolder(Path(folder))


@dataclass
class _Steps:
    """Takes results as they come, keeps them, and says what follows."""

    journal: Journal
    course: Course | Halving
    assigned: int = 0

    def begin(self, entries: Sequence[Entry]) -> list[Job]:
        """Return what is to be done: all that was not done before."""
        jobs: list[Job] = []
        for entry in entries:
            ready = self.journal.recall_model(entry.contender, entry.seed, pictured=entry.pictured)
            jobs += [entry] if ready is None else self.course.begin(ready.subject)
        return jobs

    def follow(self, job: Job, result: Result) -> list[Assignment]:
        """Return the assignments that a job's result gives rise to."""
        if isinstance(result, Outcome):
            self.journal.add_model(result)
            new = self.course.begin(result.subject)
        else:
            assert isinstance(job, Assignment)  # nothing else has records
            self.journal.add_records(job, result)
            new = self.course.advance(job, result)
        self.assigned += len(new)
        return new


def _entries(contenders: Sequence[Contender], seeds: int, journal: Journal) -> list[Entry]:
    """Return what is to be made ready, the longest first so that no worker ends with it."""
    by_length = sorted(
        contenders,
        key=lambda one: ("defended", "undefended", "scratch", "control").index(one.arm),
    )
    return [
        Entry(
            contender,
            seed,
            pictured=seed == 0 and contender.arm in ("defended", "undefended"),
            training_state=journal.training_state(contender.name, seed),
        )
        for seed in range(seeds)
        for contender in by_length
    ]


def _usable(suite: Suite, holdings: Holdings) -> Suite:
    """Return the suite without trials that need what no attacker here holds."""
    return replace(
        suite,
        attacks=tuple(one for one in suite.attacks if holdings.meet(one.needs)),
        blind=tuple(one for one in suite.blind if holdings.meet(one.needs)),
    )


def _check(contenders: Sequence[Contender], tasks: Tasks, suite: Suite) -> None:
    """Raise what can be known to be wrong before hours of work."""
    wanted = tasks.desirable
    for contender in contenders:
        contender.start.check_inputs(tasks.undesirable.train.shape)
        if wanted is not None and contender.start.classes != len(wanted.classes):
            raise InputError(
                f"a model with a head for {len(wanted.classes)} desirable classes",
                f"one for {contender.start.classes}",
                "build the model with that many classes",
            )
    contenders[-1].start.reinitialised(seed=0)
    if suite.space is not None:
        suite.space.check()
    samples = tasks.undesirable.train
    counts = samples.labels.bincount()
    # Where draws are not stratified there are so many on average of what occurs at all.
    fewest = int(counts.min() if samples.stratified else len(samples) // (counts > 0).sum())
    for budget in suite.budgets:
        if budget.labels is not None and budget.labels >= fewest:
            raise InputError(
                f"fewer labels a class than the attacker's {fewest}",
                str(budget.labels),
                "ask for fewer or bring more undesirable data",
            )
