"""What a worker is given to do: make a model ready, or carry out an assignment on one."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from rootbound.core.devices import find_device, on, with_float64
from rootbound.data import TaskPair, Tasks
from rootbound.evaluation.assignments import Assignment, Subject, divided
from rootbound.evaluation.harness import Holdings, carry_out, failed
from rootbound.execution import WorkerDied
from rootbound.inspection.diagnosis import diagnose
from rootbound.inspection.pictures import Array, pictures
from rootbound.methods import Method
from rootbound.networks import Classifier
from rootbound.records import Arm, Diagnosis, Record, Training
from rootbound.training import accuracy
from rootbound.training.state import TrainingState


@dataclass(frozen=True, eq=False)
class Contender:
    """What enters a comparison: a method to train with, or weights that exist.

    Args:
        arm: `defended`, `undefended` or `scratch`.
        name: in reports; different for each contender.
        start: the given weights, or the architecture whose weights are drawn by the seed.
        method: trains from `start`; None where the weights are to be attacked as they are.
        pretrained: whether it trains from the weights of `start`, not from new ones.
    """

    arm: Arm
    name: str
    start: Classifier
    method: Method | None = None
    pretrained: bool = False


@dataclass(frozen=True, eq=False)
class Entry:
    """A contender with one seed, to be made ready.

    Args:
        contender: what it is.
        seed: of weights and training.
        pictured: whether the report shows pictures of it.
        training_state: Where the state of this training is saved, when the run has a folder.
    """

    contender: Contender
    seed: int
    pictured: bool
    training_state: TrainingState | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A contender that is ready to be attacked."""

    subject: Subject
    training: Training
    diagnosis: Diagnosis
    pictures: dict[str, Array]


Job = Entry | Assignment
Result = Outcome | list[Record]


def work(job: Job, tasks: Tasks, holdings: Holdings, device: str) -> Result:
    """Do what the job says, and bring what it finds to the processor.

    Args:
        job: what is to be done.
        tasks: what is desirable and what is not.
        holdings: what attackers hold besides labels.
        device: where to train; and to attack, which takes float64, where there is any.
    """
    training_device = find_device(device)
    with on(place := with_float64(training_device)):
        tasks, holdings = _resident(tasks, holdings, place)
        if isinstance(job, Assignment):
            task = tasks.benign if job.task == "benign" else tasks.undesirable
            assert task is not None  # without a benign task nobody is assigned to it
            subject = replace(job.subject, model=_moved(job.subject.model, place))
            return carry_out(replace(job, subject=subject), task, holdings)
        with on(training_device):
            model, training = _made_ready(job, tasks.to(training_device))
        model = _moved(model, place)
        arm, name = job.contender.arm, job.contender.name
        diagnosis = Diagnosis(arm, name, job.seed, diagnose(model, tasks))
        shown = pictures(model, tasks) if job.pictured else {}
    subject = Subject(arm, name, job.seed, model.cpu())
    return Outcome(subject, training, diagnosis, shown)


def salvage(job: Job, death: WorkerDied, alone: Callable[[Job], Result]) -> Result:
    """Return the records of an assignment that ends its process: of each trial that does, failed.

    Args:
        job: what was to be done.
        death: how its process ended.
        alone: does a part of it in a process of its own.

    Raises:
        RuntimeError: it is a training, without which there is nothing to attack.
    """
    if isinstance(job, Entry):
        name = job.contender.name
        raise RuntimeError(f"{name}, seed {job.seed}, was not made ready in two attempts: {death}")
    parts = divided(job)
    if not parts:
        return failed(job, death)
    records: list[Record] = []
    for part in parts:
        try:
            found = alone(part)
        except WorkerDied as again:
            found = salvage(part, again, alone)
        assert isinstance(found, list)  # nothing but a training has another result
        records += found
    return records


@lru_cache(maxsize=1)
def _resident(tasks: Tasks, holdings: Holdings, device: torch.device) -> tuple[Tasks, Holdings]:
    """Return what every job of a process needs on a device: it is brought there once."""
    desirable, sibling = holdings.desirable, holdings.sibling
    there = replace(
        holdings,
        desirable=None if desirable is None else desirable.to(device),
        sibling=None if sibling is None else _moved(sibling, device),
    )
    return tasks.to(device), there


def _moved(model: Classifier, device: torch.device) -> Classifier:
    """Return the model on a device; a copy, unless it is there."""
    if model.head.weight.device == device:
        return model
    return copy.deepcopy(model).to(device)


def given(contender: Contender, seed: int) -> Classifier:
    """Return the weights that a contender has, or begins with: random ones where it is to."""
    trained = contender.method is not None and not contender.pretrained
    random = trained or contender.arm == "scratch"
    return contender.start.reinitialised(seed) if random else contender.start


def _made_ready(entry: Entry, tasks: Tasks) -> tuple[Classifier, Training]:
    contender, seed, training_state = entry.contender, entry.seed, entry.training_state
    model, seconds = _moved(given(contender, seed), tasks.undesirable.train.labels.device), 0.0
    settings = "random weights" if contender.arm == "scratch" else "as given"
    if contender.method is not None:
        assert isinstance(tasks, TaskPair)  # nothing is trained without a desirable task
        started = time.perf_counter()
        if training_state is not None and not training_state.folder.parents[1].is_dir():
            training_state = None  # on a host that does not see the folder
        model = contender.method.fit(model, tasks, seed=seed, training_state=training_state)
        seconds, settings = time.perf_counter() - started, repr(contender.method)
    wanted, meant = tasks.desirable, contender.arm in ("defended", "undefended")
    reached = accuracy(model, wanted.test) if meant and wanted is not None else None
    return model, Training(contender.arm, contender.name, settings, seed, reached, seconds)
