"""What a worker does: it prepares a model, or runs an assignment on one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from rootbound.core import progress
from rootbound.core.compiler import load_compiler
from rootbound.core.devices import find_device, on, with_float64
from rootbound.core.errors import take_first_line
from rootbound.data import TaskPair, Tasks
from rootbound.evaluation.attacker import AttackerResources, move_model
from rootbound.evaluation.contenders import Contender
from rootbound.evaluation.harness import make_failed_records, run_assignment
from rootbound.evaluation.plan import Assignment, Subject, split_assignment
from rootbound.execution import WorkerDied
from rootbound.inspection.diagnosis import diagnose
from rootbound.inspection.likeness import measure_likeness
from rootbound.inspection.pictures import Array, make_pictures
from rootbound.networks import Classifier
from rootbound.records import Configuration, Diagnosis, Record, Training
from rootbound.training import balanced_accuracy, predict
from rootbound.training.state import TrainingState

log = logging.getLogger(__name__)
PRELOAD = ("rootbound.evaluation.preload",)
"""Modules that every worker has imported before its first job."""
MOST_ERRORS = 10_000
"""Most wrongly classified test samples that the record of a given model names."""


@dataclass(frozen=True, eq=False)
class Preparation:
    """The job of making a contender ready to be attacked, with one seed.

    Args:
        contender: What is prepared.
        seed: The seed of its weights and training.
        training_state: Where the state of its training is saved, when the run has a folder.
    """

    contender: Contender
    seed: int
    training_state: TrainingState | None = None

    @property
    def pictured(self) -> bool:
        """Whether the report shows pictures of it."""
        return self.seed == 0 and self.contender.arm in ("defended", "undefended")


@dataclass(frozen=True, eq=False)
class PreparedModel:
    """A subject, with what is measured before any attack."""

    subject: Subject
    training: Training
    diagnosis: Diagnosis
    pictures: dict[str, Array]


Job = Preparation | Assignment
Result = PreparedModel | list[Record]


def do_job(job: Job, tasks: Tasks, resources: AttackerResources, device: str) -> Result:
    """Do a job, and bring its result to the processor.

    Args:
        job: What is to be done.
        tasks: What is desirable and what is not.
        resources: What attackers have besides labels.
        device: Where to train, and to attack if it supports float64.
    """
    training_device = find_device(device)
    with progress.step(_describe_job(job)), on(attack_device := with_float64(training_device)):
        tasks, resources = _move_once(tasks, resources, attack_device)
        if isinstance(job, Assignment):
            task = tasks.benign if job.task == "benign" else tasks.undesirable
            assert task is not None  # without a benign task nobody is assigned to it
            model = move_model(job.subject.model, attack_device)
            job = replace(job, subject=replace(job.subject, model=model))
            return run_assignment(job, task, resources)
        with on(training_device):
            model, training = _train(job, tasks.to(training_device))
        model = move_model(model, attack_device)
        arm, name = job.contender.arm, job.contender.name
        # The public model is not defended, so there is no trick to look for.
        values = {} if arm == "public" else diagnose(model, tasks)
        if name == "scratch":
            given = move_model(job.contender.start, attack_device)
            values |= measure_likeness(given, tasks.undesirable.train)
        diagnosis = Diagnosis(arm, name, job.seed, values)
        arrays = _try_pictures(model, tasks) if job.pictured else {}
    return PreparedModel(Subject(arm, name, job.seed, model.cpu()), training, diagnosis, arrays)


def _try_pictures(model: Classifier, tasks: Tasks) -> dict[str, Array]:
    """Return the pictures of a model; none where it fails on their samples."""
    try:
        return make_pictures(model, tasks)
    except Exception as error:  # the network is the user's code
        log.warning(
            "no pictures of a network that fails on samples (%s)", take_first_line(error, 120)
        )
        return {}


def retry_in_parts(job: Job, death: WorkerDied, run_alone: Callable[[Job], Result]) -> Result:
    """Return the records of an assignment that killed its worker process.

    Each trial is run again in a process of its own; if that dies too, its record is a failure.

    Args:
        job: What the worker was doing.
        death: How its process ended.
        run_alone: Does a job in a process of its own.

    Raises:
        RuntimeError: The job is a preparation, without which there is nothing to attack.
    """
    if isinstance(job, Preparation):
        name = job.contender.name
        raise RuntimeError(f"{name}, seed {job.seed}, could not be prepared in two tries: {death}")
    parts = split_assignment(job)
    if not parts:
        return make_failed_records(job, death)
    records: list[Record] = []
    for part in parts:
        try:
            result = run_alone(part)
        except WorkerDied as death_of_part:
            result = retry_in_parts(part, death_of_part, run_alone)
        assert isinstance(result, list)  # a part is an assignment
        records += result
    return records


def _describe_job(job: Job) -> str:
    if isinstance(job, Preparation):
        contender = job.contender
        return f"preparing {contender.name} (seed {job.seed})"
    subject, tiers = job.subject, dict.fromkeys(trial.tier for trial in job.trials)
    return f"{' and '.join(tiers)} on {subject.method} (seed {subject.seed})"


@lru_cache(maxsize=1)
def _move_once(
    tasks: Tasks, resources: AttackerResources, device: torch.device
) -> tuple[Tasks, AttackerResources]:
    """Return the tasks and resources on a device; they are moved once for all jobs of a process."""
    return tasks.to(device), resources.to(device)


def _train(job: Preparation, tasks: Tasks) -> tuple[Classifier, Training]:
    contender, seed, training_state = job.contender, job.seed, job.training_state
    device = tasks.undesirable.train.labels.device
    model, seconds = move_model(contender.draw_start(seed), device), 0.0
    settings: str | Configuration = "random weights" if contender.arm == "scratch" else "as given"
    if contender.method is not None:
        assert isinstance(tasks, TaskPair)  # nothing is trained without a desirable task
        load_compiler()
        started = time.perf_counter()
        if training_state is not None and not training_state.folder.parents[1].is_dir():
            training_state = None  # this host does not see the folder
        model = contender.method.fit(model, tasks, seed=seed, training_state=training_state)
        seconds, settings = time.perf_counter() - started, Configuration.of(contender.method)
    desirable, is_meant = tasks.desirable, contender.arm in ("defended", "undefended")
    training = Training(contender.arm, contender.name, settings, seed, None, seconds)
    if not is_meant or desirable is None:
        return model, training
    correct = predict(model, desirable.test).argmax(-1) == desirable.test.labels
    (balanced,) = balanced_accuracy(correct.unsqueeze(1), desirable.test.labels)
    errors = tuple((~correct).nonzero().flatten().tolist())
    is_short = contender.method is None and len(errors) <= MOST_ERRORS
    return model, replace(
        training,
        desirable_accuracy=float(correct.float().mean()),
        # Where labels are the next tokens, classes should not count the same.
        desirable_balanced=balanced if desirable.test.stratified else None,
        desirable_errors=errors if is_short else None,
    )
