"""What a run has found: kept as it comes, recalled when an interrupted run goes on."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from rootbound.attacks import Attack
from rootbound.core.files import write_atomically
from rootbound.evaluation.contenders import Contender
from rootbound.evaluation.jobs import Preparation, PreparedModel
from rootbound.evaluation.plan import Assignment, Subject
from rootbound.inspection.pictures import Array, as_npz, read_npz
from rootbound.networks import Classifier
from rootbound.records import Configuration, Evaluation, Record, RunFolder
from rootbound.suites import Suite
from rootbound.training.state import TrainingState

Value = TypeVar("Value")
Position = tuple[int | str, ...]
"""Where a model or a record belongs among the others: they are sorted by it."""


class Journal:
    """Keeps what is found, in a fixed order whatever the order it comes in.

    Each piece of work is a small file of its own, written once: what a killed run has finished
    stays, and costs no more to keep the more there is.

    Args:
        context: What reports say of the run.
        methods: Names, in the order of the report.
        suite: The suite in whose order trials come. With one label a class the first that works
            is the attacker's choice, so that the order of the fixed settings decides.
        folder: Where everything is kept, claimed already; None keeps it in memory alone.
    """

    def __init__(
        self,
        context: Mapping[str, Any],
        methods: Sequence[str],
        suite: Suite,
        folder: RunFolder | None,
    ) -> None:
        self._context, self._folder, self._minutes = context, folder, suite.minutes
        self._methods = {name: number for number, name in enumerate(methods)}
        self._settings = _number((*suite.attacks, *suite.blind, *suite.benign))
        self._blind = _number(suite.blind)
        self._labels = {budget["labels"]: i for i, budget in enumerate(context["budgets"])}
        self._models: dict[Position, PreparedModel] = {}
        self._records: dict[Position, Record] = {}

    def completed(self) -> Evaluation | None:
        """Return the run, if it was completed before, or by another process.

        One that a limit of time has stopped is not complete where there is more time now.
        """
        run = None if self._folder is None else self._folder.whole()
        if run is None or not run.complete:
            return None
        limited = run.context.get("time", {})
        more = self._minutes is not None and limited.get("stopped") is True
        return None if more and self._minutes > limited["minutes"] else run

    def recall_model(self, job: Preparation) -> PreparedModel | None:
        """Return a model that was prepared before, None if it was not or is damaged."""
        if self._folder is None:
            return None
        contender, seed = job.contender, job.seed
        file = _name_file("model", contender.name, seed)
        part = self._folder.part(file)
        if part is None or not (part.trainings and part.diagnoses):
            return None
        model = self._load_model(contender, seed)
        pictures = read_npz(self._folder.parts / f"{file}.npz") if job.pictured else {}
        if model is None or pictures is None:
            return None
        pictures = {key.removeprefix(f"{contender.name}/"): one for key, one in pictures.items()}
        (training,), (diagnosis,) = part.trainings, part.diagnoses
        subject = Subject(contender.arm, contender.name, seed, model)
        prepared = PreparedModel(subject, training, diagnosis, pictures)
        self._models[self._position_of_model(prepared)] = prepared
        return prepared

    def recall(self, assignment: Assignment) -> list[Record] | None:
        """Return an assignment's records from before, None if it is still to be done."""
        records = self._read(assignment)
        self._records |= {self._position(record): record for record in records}
        return records or None

    def holds(self, assignment: Assignment) -> bool:
        """Return whether there are records of an assignment from before."""
        return bool(self._read(assignment))

    def add_model(self, prepared: PreparedModel) -> None:
        """Keep a model that is ready, and what is known of it."""
        position = self._position_of_model(prepared)
        self._models[position] = prepared
        if self._folder is None:
            return
        training = prepared.training
        file = _name_file("model", training.method, training.seed)
        if training.seconds:
            state = prepared.subject.model.state_dict()
            # Tied weights are two names of one memory, which safetensors refuses: copy each.
            weights = {name: value.clone().contiguous() for name, value in state.items()}
            self._folder.check()
            write_atomically(self._folder.weights(training.method, training.seed), save(weights))
        if (training_state := self.training_state(training.method, training.seed)) is not None:
            training_state.clear()
        if prepared.pictures:
            self._folder.keep(file, as_npz(_name_pictures(prepared)), "npz")
        # The last file to be written, because it vouches for the others.
        part = Evaluation({}, (training,), (), complete=False, diagnoses=(prepared.diagnosis,))
        self._write(file, part, [position])

    def add_records(self, assignment: Assignment, records: Sequence[Record]) -> None:
        """Keep the records of an assignment."""
        positions = [self._position(record) for record in records]
        self._records |= dict(zip(positions, records, strict=True))
        part = Evaluation({}, (), tuple(records), complete=False)
        self._write(_name_file(*_describe_trials(assignment)), part, positions)

    def training_state(self, method: str, seed: int) -> TrainingState | None:
        """Return where a training is saved while it goes on."""
        if self._folder is None:
            return None
        return TrainingState(self._folder.weights(method, seed).with_suffix(".unfinished"))

    def finish(self, seconds: float, workers: int, **more: Any) -> Evaluation:
        """Write the complete run and return it, unless another process has done so before.

        Args:
            seconds: How long it took.
            workers: How many processes worked.
            more: What else the context says.
        """
        if (run := self.completed()) is not None:
            return run
        models = _in_order(self._models)
        run = Evaluation(
            {**self._context, "seconds": seconds, "workers": workers, **more},
            tuple(model.training for model in models),
            _in_order(self._records),
            diagnoses=tuple(model.diagnosis for model in models),
        )
        if self._folder is not None:
            self._folder.check()
            pictures = {key: one for model in models for key, one in _name_pictures(model).items()}
            if pictures:
                write_atomically(self._folder.path / "pictures.npz", as_npz(pictures))
            run.save(self._folder.path)
        return run

    def _read(self, assignment: Assignment) -> list[Record]:
        if self._folder is None:
            return []
        part = self._folder.part(_name_file(*_describe_trials(assignment)))
        return [] if part is None else list(part.records)

    def _write(self, file: str, part: Evaluation, positions: Sequence[Position]) -> None:
        if self._folder is not None:
            context = {"run": self._context["run"], "places": positions}
            self._folder.keep(file, replace(part, context=context).to_json())

    def _load_model(self, contender: Contender, seed: int) -> Classifier | None:
        """Return the model of a contender as it was, None if its weights are lost."""
        assert self._folder is not None
        if contender.method is None:
            return contender.draw_start(seed)
        model = copy.deepcopy(contender.start)
        try:
            model.load_state_dict(load_file(self._folder.weights(contender.name, seed)))
        except (SafetensorError, RuntimeError, OSError):
            return None
        return model.eval()

    def _position_of_model(self, prepared: PreparedModel) -> Position:
        return (self._methods[prepared.training.method], prepared.training.seed)

    def _position(self, record: Record) -> Position:
        settings = self._blind if record.labels == 1 else self._settings
        return (
            self._methods[record.method],
            record.seed,
            ("undesirable", "benign").index(record.task),
            ("screen", "search", "confirm", "longer").index(record.stage),
            record.attacker,
            self._labels[record.labels],
            record.rung,
            # A setting that a search has proposed is in no list: all of them come last, by name.
            settings.get(record.attack, len(self._settings)),
            str(record.attack),
        )


def _name_pictures(prepared: PreparedModel) -> dict[str, Array]:
    return {f"{prepared.training.method}/{name}": one for name, one in prepared.pictures.items()}


def _in_order(values: Mapping[Position, Value]) -> tuple[Value, ...]:
    return tuple(values[position] for position in sorted(values))


def _number(trials: Sequence[Attack]) -> dict[Configuration, int]:
    distinct = dict.fromkeys(Configuration.of(trial) for trial in trials)
    return {trial: number for number, trial in enumerate(distinct)}


def _describe_trials(assignment: Assignment) -> list[tuple[str | int | None, ...]]:
    """Return what tells each of an assignment's trials from every other of the run."""
    subject = assignment.subject
    whose = (subject.method, subject.seed, assignment.attacker, assignment.stage, assignment.task)
    return [
        (*whose, assignment.rung, budget.labels, budget.steps, str(Configuration.of(trial)))
        for budget in assignment.budgets
        for trial in assignment.trials
    ]


def _name_file(*keys: object) -> str:
    """Return the name of the file for a piece of work."""
    return hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:20]
