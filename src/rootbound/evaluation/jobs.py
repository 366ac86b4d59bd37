"""What a worker is given to do: make a model ready, or carry out an assignment on one."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rootbound.evaluation.assignments import Assignment, Subject
from rootbound.evaluation.diagnosis import diagnose
from rootbound.evaluation.harness import Holdings, carry_out
from rootbound.evaluation.pictures import Array, pictures
from rootbound.methods import Method
from rootbound.models import Classifier
from rootbound.records import Arm, Diagnosis, Record, Training
from rootbound.savepoints import Savepoints
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
    """A contender with one seed, to be made ready.

    Args:
        contender: what it is.
        seed: of weights and training.
        pictured: whether the report shows pictures of it.
        savepoints: of its training, where the run's folder can be seen.
    """

    contender: Contender
    seed: int
    pictured: bool
    savepoints: Savepoints | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A contender that is ready to be attacked."""

    subject: Subject
    training: Training
    diagnosis: Diagnosis
    pictures: dict[str, Array]


Job = Entry | Assignment
Result = Outcome | list[Record]


def work(job: Job, tasks: TaskPair, holdings: Holdings) -> Result:
    """Do what the job says."""
    if isinstance(job, Assignment):
        task = tasks.benign if job.task == "benign" else tasks.undesirable
        assert task is not None  # without a benign task nobody is assigned to it
        return carry_out(job, task, holdings)
    model, training = _made_ready(job, tasks)
    arm, name = job.contender.arm, job.contender.name
    diagnosis = Diagnosis(arm, name, job.seed, diagnose(model, tasks))
    shown = pictures(model, tasks) if job.pictured else {}
    return Outcome(Subject(arm, name, job.seed, model), training, diagnosis, shown)


def given(contender: Contender, seed: int) -> Classifier:
    """Return the weights that a contender has, or begins with: random ones where it is to."""
    random = contender.method is not None or contender.arm == "scratch"
    return contender.start.reinitialised(seed) if random else contender.start


def _made_ready(entry: Entry, tasks: TaskPair) -> tuple[Classifier, Training]:
    contender, seed, savepoints = entry.contender, entry.seed, entry.savepoints
    model, seconds = given(contender, seed), 0.0
    settings = "random weights" if contender.arm == "scratch" else "as given"
    if contender.method is not None:
        started = time.perf_counter()
        if savepoints is not None and not savepoints.folder.parents[1].is_dir():
            savepoints = None  # on a host that does not see the folder
        model = contender.method.fit(model, tasks, seed=seed, savepoints=savepoints)
        seconds, settings = time.perf_counter() - started, repr(contender.method)
    meant = contender.arm in ("defended", "undefended")
    desirable = accuracy(model, tasks.desirable.test) if meant else None
    return model, Training(contender.arm, contender.name, settings, seed, desirable, seconds)
