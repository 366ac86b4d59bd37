"""The journal of a run: it saves every result, and recalls them when an interrupted run goes on."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from rootbound.core.files import write_atomically
from rootbound.evaluation.jobs import Job, Preparation, PreparedModel, Result
from rootbound.evaluation.plan import Assignment, Subject
from rootbound.evaluation.record_order import Position, RecordOrder
from rootbound.inspection.pictures import Array, as_npz, read_npz
from rootbound.networks.weights import copy_weights
from rootbound.records import Configuration, Evaluation, Record, RunFolder
from rootbound.suites import Suite
from rootbound.training.state import TrainingState

Value = TypeVar("Value")


class Journal:
    """Keeps results in a fixed order, whatever order they come in.

    The result of each job is a small file of its own, written once. So the finished jobs of a
    killed run are not lost, and saving takes no longer as a run grows.

    Args:
        context: What reports say of the run.
        methods: Names, in the order of the report.
        suite: The suite, whose order the trials follow.
        folder: The run's folder, already claimed; None keeps everything in memory only.
    """

    def __init__(
        self,
        context: Mapping[str, Any],
        methods: Sequence[str],
        suite: Suite,
        folder: RunFolder | None,
    ) -> None:
        self._context, self._folder, self._minutes = context, folder, suite.minutes
        self._order = RecordOrder(methods, suite)
        self._models: dict[Position, PreparedModel] = {}
        self._records: dict[Position, Record] = {}

    def completed(self) -> Evaluation | None:
        """Return the run if it is complete already, here or by another process.

        A run that stopped at its time limit is not complete if there is more time now.
        """
        run = None if self._folder is None else self._folder.read_complete()
        if run is None or not run.complete:
            return None
        limited = run.context.get("time", {})
        more = self._minutes is not None and limited.get("stopped") is True
        return None if more and self._minutes > limited["minutes"] else run

    def recall(self, job: Job) -> Result | None:
        """Return the result of a job that was done before; None if it has to be done (again)."""
        part = self._read(job)
        if part is None:
            return None
        result: Result | None = list(part.records) or None
        if isinstance(job, Preparation):
            result = self._restore(job, part)
        if result is not None:
            self._enter(result)
        return result

    def holds(self, assignment: Assignment) -> bool:
        """Return whether an earlier run left records of an assignment."""
        part = self._read(assignment)
        return part is not None and len(part.records) > 0

    def add(self, job: Job, result: Result) -> None:
        """Keep the result of a job."""
        positions = self._enter(result)
        if self._folder is None:
            return
        context = {"run": self._context["run"], "places": positions}
        if isinstance(result, PreparedModel):
            self._save_model(self._folder, job, result)
            part = Evaluation(context, (result.training,), (), False, (result.diagnosis,))
        else:
            part = Evaluation(context, (), tuple(result), complete=False)
        # This file is written last: if it is there, so are the model's other files.
        self._folder.write_part(_name_file(job), part.to_json())

    def training_state(self, method: str, seed: int) -> TrainingState | None:
        """Return where a training saves its state while it runs."""
        if self._folder is None:
            return None
        return TrainingState(self._folder.weights_file(method, seed).with_suffix(".unfinished"))

    def finish(
        self, seconds: float, workers: int, unfinished: Sequence[Record], **more: Any
    ) -> Evaluation:
        """Write the complete run and return it, unless another process has done so before.

        Args:
            seconds: How long it took.
            workers: How many processes worked.
            unfinished: Records to leave out, because other arms have no counterpart yet. They stay
                in the folder for a run with more time.
            more: Further entries of the context.
        """
        if (run := self.completed()) is not None:
            return run
        models = _sort_by_position(self._models)
        left_out = set(map(id, unfinished))
        records = {at: one for at, one in self._records.items() if id(one) not in left_out}
        run = Evaluation(
            {**self._context, "seconds": seconds, "workers": workers, **more},
            tuple(model.training for model in models),
            _sort_by_position(records),
            diagnoses=tuple(model.diagnosis for model in models),
        )
        if self._folder is not None:
            self._folder.check()
            pictures: dict[str, Array] = {}
            for model in models:
                pictures |= _name_pictures(model)
            if pictures:
                write_atomically(self._folder.path / "pictures.npz", as_npz(pictures))
            run.save(self._folder.path)
        return run

    def _enter(self, result: Result) -> list[Position]:
        """Remember a result; return the positions of its parts."""
        if isinstance(result, PreparedModel):
            position = self._order.place_model(result.training.method, result.training.seed)
            self._models[position] = result
            return [position]
        positions = [self._order.place(record) for record in result]
        self._records |= dict(zip(positions, result, strict=True))
        return positions

    def _read(self, job: Job) -> Evaluation | None:
        return None if self._folder is None else self._folder.read_part(_name_file(job))

    def _save_model(self, folder: RunFolder, job: Job, model: PreparedModel) -> None:
        training = model.training
        if training.seconds:
            weights = save(copy_weights(model.subject.model.state_dict()))
            folder.check()
            write_atomically(folder.weights_file(training.method, training.seed), weights)
        if (training_state := self.training_state(training.method, training.seed)) is not None:
            training_state.clear()
        if model.pictures:
            folder.write_part(_name_file(job), as_npz(_name_pictures(model)), "npz")

    def _restore(self, job: Preparation, part: Evaluation) -> PreparedModel | None:
        """Return a prepared model from its files; None if one of them is lost or damaged."""
        assert self._folder is not None
        contender, seed = job.contender, job.seed
        path = self._folder.parts / f"{_name_file(job)}.npz"
        pictures = read_npz(path) if job.pictured else {}
        if pictures is None or not (part.trainings and part.diagnoses):
            return None
        if contender.method is None:
            model = contender.draw_start(seed)
        else:
            model = copy.deepcopy(contender.start).eval()
            try:
                model.load_state_dict(load_file(self._folder.weights_file(contender.name, seed)))
            except (SafetensorError, RuntimeError, OSError):
                return None
        prefix = f"{contender.name}/"
        pictures = {name.removeprefix(prefix): array for name, array in pictures.items()}
        subject = Subject(contender.arm, contender.name, seed, model)
        return PreparedModel(subject, part.trainings[0], part.diagnoses[0], pictures)


def _name_pictures(prepared: PreparedModel) -> dict[str, Array]:
    prefix = f"{prepared.training.method}/"
    return {prefix + name: array for name, array in prepared.pictures.items()}


def _sort_by_position(values: Mapping[Position, Value]) -> tuple[Value, ...]:
    return tuple(values[position] for position in sorted(values))


def _name_file(job: Job) -> str:
    """Return the name of a job's file, which no other job of the run has."""
    keys: list[tuple[str | int | None, ...]] | tuple[str, str, int]
    if isinstance(job, Preparation):
        keys = ("model", job.contender.name, job.seed)
    else:
        of = job.subject
        whose = (of.method, of.seed, job.attacker, job.stage, job.task, job.rung)
        keys = [
            (*whose, budget.labels, budget.steps, str(Configuration.of(trial)))
            for budget in job.budgets
            for trial in job.trials
        ]
    return hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:20]
