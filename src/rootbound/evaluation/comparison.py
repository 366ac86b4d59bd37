"""Comparisons: methods, or given models, beside the undefended and the from-scratch arm."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from rootbound.attacks import Attack
from rootbound.core.errors import InputError
from rootbound.data import TaskPair, Tasks
from rootbound.datasets.conversion import rotation_task
from rootbound.evaluation.attacker import AttackerResources, count_labels
from rootbound.evaluation.contenders import Contender, make_controls
from rootbound.evaluation.context import describe_run, specification
from rootbound.evaluation.full_plan import FullPlan
from rootbound.evaluation.jobs import Job, Preparation, Result, do_job, retry_in_parts
from rootbound.evaluation.journal import Journal
from rootbound.evaluation.limits import Limits
from rootbound.evaluation.plan import Assignment, Plan
from rootbound.evaluation.timed_plan import TimedPlan
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
        methods: The methods, each once; several of a class need different settings. Those that
            do not defend are the undefended arm.
        tasks: What is desirable and what is not.
        model: The architecture. Its weights are drawn anew for every seed, the same for every
            method, unless they are `pretrained`.
        suite: Attacks and budgets, or the name of them.
        seeds: How many seeds; seed `i` draws weights, batches and the attacker's labels.
        workers: How many processes; or an engine: `rb.execution.RayCluster()`,
            `Pool(2, device="cuda")`.
        folder: The folder of this run and no other. Records go there as they come, and pictures;
            a run that was interrupted goes on. Nothing is written when it is left out.
        pretrained: Whether every method trains from the model's own weights. Scratch is random
            all the same: a method that keeps the given weights shows what they are worth.

    Raises:
        InputError: The folder holds another run, a method comes twice, the suite is unknown, or
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
    adaptive = tuple(attack for method in methods for attack in method.adaptive_attacks())
    full_suite = find_suite(suite).with_attacks(adaptive)
    return _run(contenders, tasks, full_suite, None, seeds, workers, folder)


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
        defended: The model that is claimed to resist; or several of them by name, which share
            the other arms.
        tasks: What is desirable and what is not; or `Tasks.alone(task)`, where only the undesirable
            task is known. Then attacks that need desirable samples are left out.
        undefended: The same model without intervention, for comparison.
        adaptive: Attacks that know the defence, besides the suite's; every arm meets them.
        suite: Attacks and budgets, or the name of them.
        seeds: How many seeds of the attacker, and of the fresh weights.
        workers: How many processes; or an engine: `rb.execution.RayCluster()`,
            `Pool(2, device="cuda")`.
        folder: The folder of this run and no other. Records go there as they come, and pictures;
            a run that was interrupted goes on. Nothing is written when it is left out.

    Raises:
        InputError: The folder holds another run, the suite is unknown, a number is not positive,
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
    full_suite = find_suite(suite).with_attacks(tuple(adaptive))
    return _run(contenders, tasks, full_suite, undefended, seeds, workers, folder)


def _run(
    contenders: Sequence[Contender],
    tasks: Tasks,
    suite: Suite,
    sibling: Classifier | None,
    seeds: int,
    workers: int | Engine,
    folder: RunFolder | Path | str | None,
) -> Evaluation:
    """Prepare and attack every contender, unless that was done; the last is from scratch."""
    if seeds < 1:
        raise InputError("at least 1 seed", str(seeds), "raise it")
    engine = engine_for(workers)
    _check(contenders, tasks, suite)
    spec = specification(tasks, suite, seeds, contenders)
    context = {"run": spec.digest, **describe_run(tasks, suite, seeds, contenders)}
    if suite.controls:
        controls = make_controls(contenders[-1].start, tasks.undesirable.train)
        contenders = [*contenders, *controls]
    desirable = tasks.desirable
    if suite.benign and tasks.benign is None and desirable is not None:
        tasks = replace(tasks, benign=rotation_task(desirable))
    limits = Limits(suite.trial_limit, Limits.memory / engine.together, engine.patience)
    resources = AttackerResources(desirable and desirable.train, sibling, limits)
    claimed = None if folder is None else _as_folder(folder).claim(spec, context)
    journal = Journal(context, [contender.name for contender in contenders], suite, claimed)
    if (completed := journal.completed()) is not None:
        log.info("%s holds this run, complete: nothing is done again", folder)
        return completed
    started = time.perf_counter()
    with engine.open(do_job, (tasks, resources, engine.device), retry_in_parts) as crew:
        preparations = _prepare_all(contenders, seeds, journal)
        usable = _leave_out(suite, resources, benign=tasks.benign is not None)
        plan: Plan = FullPlan(usable)
        if suite.minutes is not None:
            plan = TimedPlan(usable, crew.workers, len(preparations), journal.holds)
        schedule = _Schedule(plan, journal)
        jobs = schedule.begin(preparations)
        with tqdm(desc="training and attacking", total=len(jobs), disable=None) as bar:
            for _ in crew.run(jobs, schedule.follow):
                bar.total = len(jobs) + schedule.followed
                bar.update()
    return journal.finish(time.perf_counter() - started, crew.workers, **plan.summary())


def _as_folder(folder: RunFolder | Path | str) -> RunFolder:
    return folder if isinstance(folder, RunFolder) else RunFolder(Path(folder))


@dataclass
class _Schedule:
    """Says which jobs follow: what the plan asks for, unless the journal has it."""

    plan: Plan
    journal: Journal
    followed: int = 0

    def begin(self, preparations: Sequence[Preparation]) -> list[Job]:
        """Return the jobs to begin with."""
        jobs: list[Job] = []
        for preparation in preparations:
            model = self.journal.recall_model(preparation)
            if model is None:
                jobs.append(preparation)
            else:
                jobs += self._not_done(self.plan.begin(model.subject))
        return jobs

    def follow(self, job: Job, result: Result) -> list[Assignment]:
        """Keep the result of a job; return the jobs that follow from it."""
        if isinstance(result, list):
            assert isinstance(job, Assignment)  # nothing else has records
            self.journal.add_records(job, result)
            jobs = self._not_done(self.plan.advance(job, result))
        else:
            self.journal.add_model(result)
            jobs = self._not_done(self.plan.begin(result.subject))
        self.followed += len(jobs)
        return jobs

    def _not_done(self, assignments: Iterable[Assignment]) -> list[Assignment]:
        """Return assignments without records; those that have some advance the plan at once."""
        jobs, coming = [], deque(assignments)
        while coming:
            assignment = coming.popleft()
            records = self.journal.recall(assignment)
            if records is None:
                jobs.append(assignment)
            else:
                coming += self.plan.advance(assignment, records)
        return jobs


def _prepare_all(
    contenders: Sequence[Contender], seeds: int, journal: Journal
) -> list[Preparation]:
    """Return what is to be made ready, the longest first so that no worker ends with it."""
    arms = ("defended", "undefended", "scratch", "control")
    by_length = sorted(contenders, key=lambda contender: arms.index(contender.arm))
    return [
        Preparation(
            contender,
            seed,
            pictured=seed == 0 and contender.arm in ("defended", "undefended"),
            training_state=journal.training_state(contender.name, seed),
        )
        for seed in range(seeds)
        for contender in by_length
    ]


def _leave_out(suite: Suite, resources: AttackerResources, *, benign: bool) -> Suite:
    """Return the suite without trials that need what no attacker here has, or a task."""
    return replace(
        suite,
        attacks=tuple(trial for trial in suite.attacks if resources.satisfy(trial.needs)),
        blind=tuple(trial for trial in suite.blind if resources.satisfy(trial.needs)),
        benign=suite.benign if benign else (),
    )


def _check(contenders: Sequence[Contender], tasks: Tasks, suite: Suite) -> None:
    """Raise what can be known to be wrong before hours of work."""
    desirable = tasks.desirable
    for contender in contenders:
        contender.start.check_inputs(tasks.undesirable.train.shape)
        if desirable is not None and contender.start.classes != len(desirable.classes):
            raise InputError(
                f"a model with a head for {len(desirable.classes)} desirable classes",
                f"one for {contender.start.classes}",
                "build the model with that many classes",
            )
    contenders[-1].start.reinitialised(seed=0)
    if suite.space is not None:
        suite.space.check()
    fewest = count_labels(tasks.undesirable.train)
    for budget in suite.budgets:
        if budget.labels is not None and budget.labels >= fewest:
            raise InputError(
                f"fewer labels a class than the attacker's {fewest}",
                str(budget.labels),
                "ask for fewer or bring more undesirable data",
            )
