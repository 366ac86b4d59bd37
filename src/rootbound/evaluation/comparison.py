"""Comparisons: methods, or given models, beside the undefended, public and from-scratch arms."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from rootbound.attacks import Attack
from rootbound.attacks.base import require_attacks
from rootbound.core import progress
from rootbound.core.errors import InputError
from rootbound.core.fields import Range, require_whole
from rootbound.core.files import as_path
from rootbound.data import Task, TaskPair, Tasks
from rootbound.datasets.conversion import rotation_task
from rootbound.evaluation.attacker import AttackerResources, count_labels
from rootbound.evaluation.checks import check_comparison, refuse_data_folder
from rootbound.evaluation.contenders import TAKEN, Contender, make_controls
from rootbound.evaluation.context import build_specification, describe_run
from rootbound.evaluation.deciding_plan import DecidingPlan
from rootbound.evaluation.full_plan import FullPlan
from rootbound.evaluation.jobs import (
    Preparation,
    do_job,
    retry_in_parts,
)
from rootbound.evaluation.journal import Journal
from rootbound.evaluation.limits import Limits
from rootbound.evaluation.plan import Plan
from rootbound.evaluation.timed_plan import TimedPlan
from rootbound.evaluation.work import Work
from rootbound.execution import Engine, make_engine
from rootbound.inspection.attributions import EXTRA, can_attribute
from rootbound.methods import Method, find_method
from rootbound.methods.names import name_methods
from rootbound.networks import Classifier, as_classifier
from rootbound.networks.registry import short_name
from rootbound.records import Evaluation, RunFolder
from rootbound.suites import Suite, find_suite

log = logging.getLogger(__name__)
ARMS = ("defended", "undefended", "public", "scratch", "control")
"""The arms, with those first that take longest to prepare."""


@progress.shown("compare")
def compare(  # noqa: PLR0913  # all but three are named
    methods: Sequence[Method | str],
    tasks: TaskPair,
    model: nn.Module,
    *,
    public: nn.Module | None = None,
    suite: Suite | str = "quick-2",
    seeds: int | None = None,
    workers: int | Engine = 1,
    folder: RunFolder | Path | str | None = None,
    pretrained: bool = False,
) -> Evaluation:
    """Train with each method and seed, attack everything, and return what was measured.

    Args:
        methods: The methods or their names, each once; a class may occur several times with
            different settings. Those that do not defend are the undefended arm.
        tasks: What is desirable and what is not.
        model: The architecture: a classifier, or any network as `Classifier.wrap` takes it. Its
            weights are drawn anew for every seed, the same for every method, unless they are
            `pretrained`.
        public: The best starting point that anyone can download, as in `evaluate`.
        suite: Attacks and budgets, or the name of a suite.
        seeds: How many seeds; seed `i` draws weights, batches and the attacker's labels. None means
            3, or 1 with a suite that confirms on attacker seeds of its own.
        workers: How many processes; or an engine: `rb.execution.RayCluster()`,
            `Pool(2, device="cuda")`.
        folder: The folder of this run alone. Records and pictures are saved there as they come, and
            an interrupted run continues. Nothing is written when it is left out.
        pretrained: Whether every method trains from the model's own weights. Scratch is random even
            then, so that a method that keeps the given weights shows what they are worth.

    Raises:
        InputError: The folder holds another run, a method comes twice, the suite is unknown, or
            a number is not positive.
    """
    tasks = TaskPair.require(tasks)
    if isinstance(methods, str) or not isinstance(methods, Iterable):
        raise InputError("a list of methods", repr(methods), "write for example ['BestResponse']")
    found = [find_method(method) for method in methods]
    model, public = as_classifier(model, tasks.example), _wrap_if_given(public, tasks)
    called = name_methods(found)
    if len(set(called)) != len(called) or not called:
        raise InputError(
            "each method once, and at least one", ", ".join(called) or "none", "list them"
        )
    contenders = [
        Contender("defended" if method.defends else "undefended", name, model, method, pretrained)
        for method, name in zip(found, called, strict=True)
    ]
    contenders += _list_arms_without_weights(public, model)
    adaptive = tuple(attack for method in found for attack in method.adaptive_attacks())
    full_suite = find_suite(suite).with_attacks(adaptive)
    many = full_suite.usual_seeds(of_one_model=False) if seeds is None else seeds
    return _run(contenders, tasks, full_suite, None, many, workers, folder)


@progress.shown("evaluate")
def evaluate(  # noqa: PLR0913  # all but two are named
    defended: nn.Module | Mapping[str, nn.Module],
    tasks: Tasks,
    *,
    undefended: nn.Module | None = None,
    public: nn.Module | None = None,
    adaptive: Sequence[Attack] = (),
    suite: Suite | str = "quick-2",
    seeds: int | None = None,
    workers: int | Engine = 1,
    folder: RunFolder | Path | str | None = None,
) -> Evaluation:
    """Attack given models, beside fresh weights of their architecture.

    Args:
        defended: The model that is claimed to resist, a classifier or any network as
            `Classifier.wrap` takes it; or several of them by name, which share the other arms.
        tasks: What is desirable and what is not; or `Tasks.alone(task)` if only the undesirable
            task is known. Attacks that need desirable samples are then left out.
        undefended: The same model without intervention, for comparison.
        public: The best starting point that anyone can download, of any architecture that takes the
            tasks' samples, with any head. What the models add to it is their marginal risk.
        adaptive: Attacks that know the defence, besides the suite's; every arm meets them.
        suite: Attacks and budgets, or the name of a suite.
        seeds: How many seeds of the attacker, and of the fresh weights. None means 3, or 1 with a
            suite that draws labels several times itself.
        workers: How many processes; or an engine: `rb.execution.RayCluster()`,
            `Pool(2, device="cuda")`.
        folder: The folder of this run alone. Records and pictures are saved there as they come, and
            an interrupted run continues. Nothing is written when it is left out.

    Raises:
        InputError: The folder holds another run, the suite is unknown, a number is not positive,
            there is no model, or there are several of different architectures.
    """
    tasks = Tasks.require(tasks)
    given = defended if isinstance(defended, Mapping) else {"defended": defended}
    models = {name: as_classifier(model, tasks.example) for name, model in given.items()}
    undefended, public = _wrap_if_given(undefended, tasks), _wrap_if_given(public, tasks)
    if not models or set(TAKEN) & set(models):
        raise InputError(
            f"defended models by name, none called {', '.join(TAKEN)}",
            ", ".join(models) or "none",
            "rename it",
        )
    _check_alike([*models.values(), *([] if undefended is None else [undefended])])
    contenders = [Contender("defended", name, model) for name, model in models.items()]
    if undefended is not None:
        contenders.insert(0, Contender("undefended", "undefended", undefended))
    # Scratch leaves out what a defence has added to the network, such as a gate.
    fresh = undefended or next(iter(models.values()))
    contenders += _list_arms_without_weights(public, fresh)
    full_suite = find_suite(suite).with_attacks(require_attacks(adaptive, "adaptive"))
    many = full_suite.usual_seeds(of_one_model=True) if seeds is None else seeds
    return _run(contenders, tasks, full_suite, undefended, many, workers, folder)


def _check_alike(models: Sequence[Classifier]) -> None:
    """Raise an `InputError` where models certainly differ in architecture: scratch has only one."""
    names = dict.fromkeys(short_name(one.architecture) for one in models if one.architecture)
    if len(names) > 1:
        raise InputError(
            "models of one architecture, as scratch is random weights of that architecture",
            " and ".join(names),
            "evaluate each of them by itself",
        )


def _wrap_if_given(model: nn.Module | None, tasks: Tasks) -> Classifier | None:
    return None if model is None else as_classifier(model, tasks.example)


def _list_arms_without_weights(public: Classifier | None, fresh: Classifier) -> list[Contender]:
    """Return the arms of an attacker without the weights: the public model, if any, and scratch."""
    given = [] if public is None else [Contender("public", "public", public)]
    return [*given, Contender("scratch", "scratch", fresh)]


def _run(
    contenders: Sequence[Contender],
    tasks: Tasks,
    suite: Suite,
    sibling: Classifier | None,
    seeds: int,
    workers: int | Engine,
    folder: RunFolder | Path | str | None,
) -> Evaluation:
    """Prepare and attack every contender where not done yet; the last contender is scratch."""
    if folder is not None and not isinstance(folder, RunFolder):
        folder = RunFolder(as_path(folder, "folder"))
    seeds = require_whole("seeds", seeds, Range(at_least=1))
    engine = make_engine(workers)
    check_comparison(contenders, tasks, suite)
    spec = build_specification(tasks, suite, seeds, contenders)
    context = {"run": spec.digest, **describe_run(tasks, suite, seeds, contenders)}
    if suite.controls:
        controls = make_controls(contenders[-1].start, tasks.undesirable.train)
        contenders = [*contenders, *controls]
    desirable, tasks = tasks.desirable, replace(tasks, benign=_find_benign(tasks, suite))
    limits = Limits(suite.trial_limit, Limits.memory / engine.together, engine.patience)
    samples = None if desirable is None else desirable.train
    resources = AttackerResources(samples, sibling, limits)
    if folder is not None:
        refuse_data_folder(folder)
        folder = folder.claim(spec, context)
    journal = Journal(context, [contender.name for contender in contenders], suite, folder)
    completed = journal.completed()
    if folder is not None and completed is not None:
        log.info("%s holds this run, complete: nothing is done again", folder.path)
        return completed
    if folder is not None and not can_attribute():
        log.warning("the report will not show what models look at: that needs Captum; %s", EXTRA)
    # The longest preparations come first, so that no worker ends with one.
    by_length = sorted(contenders, key=lambda contender: ARMS.index(contender.arm))
    preparations = [
        Preparation(contender, seed, journal.training_state(contender.name, seed))
        for seed in range(seeds)
        for contender in by_length
    ]
    suite = _leave_out(suite, resources, benign=tasks.benign is not None)
    started = time.perf_counter()
    with engine.open(do_job, (tasks, resources, engine.device), retry_in_parts) as crew:
        plan: Plan = FullPlan(suite)
        if suite.minutes is not None:
            plan = TimedPlan(suite, crew.workers, len(preparations), journal.holds)
            crew.until = time.monotonic() + 60 * suite.minutes
        elif suite.until is not None:
            trained = {one.name for one in contenders if one.method is not None}
            plan = DecidingPlan(suite, len(preparations), trained, len(tasks.undesirable.test))
        Work(crew, plan, journal).do_all(preparations)
    seconds = time.perf_counter() - started
    return journal.finish(seconds, crew.workers, plan.unfinished(), **plan.summary())


def _find_benign(tasks: Tasks, suite: Suite) -> Task | None:
    """Return the benign task: the given one, or the task to tell how desirable images are rotated.

    None if there is neither, or if it has too few samples for the suite's numbers of labels.
    """
    if tasks.benign is not None or tasks.desirable is None or not suite.benign:
        return tasks.benign
    turned = rotation_task(tasks.desirable)
    most = max((budget.labels or 0 for budget in suite.budgets), default=0)
    return None if turned is None or count_labels(turned.train) <= most else turned


def _leave_out(suite: Suite, resources: AttackerResources, *, benign: bool) -> Suite:
    """Return the suite without the trials that need resources or tasks that are missing here."""
    return replace(
        suite,
        attacks=tuple(trial for trial in suite.attacks if resources.satisfy(trial.needs)),
        blind=tuple(trial for trial in suite.blind if resources.satisfy(trial.needs)),
        benign=suite.benign if benign else (),
    )
