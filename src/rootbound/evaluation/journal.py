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
from rootbound.evaluation.assignments import Assignment, Subject
from rootbound.evaluation.jobs import Contender, Outcome, given
from rootbound.inspection.pictures import Array, as_npz, read_npz
from rootbound.networks import Classifier
from rootbound.records import Diagnosis, Evaluation, Record, RunFolder, Training
from rootbound.suites import Suite
from rootbound.training.state import TrainingState

Kept = TypeVar("Kept")
Place = tuple[int | str, ...]
"""Where an entry belongs among the others of its kind."""


class Journal:
    """Keeps what is found, in a fixed order whatever the order it comes in.

    Each piece of work is a small file of its own, written once: what a killed run has finished
    stays, and costs no more to keep the more there is.

    Args:
        context: of the run, for reports.
        methods: names, in the order of the report.
        suite: in whose order trials come; with one label a class the first that works is the
            attacker's choice, so that the order of the fixed settings decides.
        folder: where everything is kept, claimed already; nowhere if None.
    """

    def __init__(
        self,
        context: Mapping[str, Any],
        methods: Sequence[str],
        suite: Suite,
        folder: RunFolder | None,
    ) -> None:
        self._context, self._folder, self._minutes = context, folder, suite.minutes
        self._methods = {name: position for position, name in enumerate(methods)}
        self._settings = _positions((*suite.attacks, *suite.blind, *suite.benign))
        self._blind = _positions(suite.blind)
        self._labels = {one["labels"]: i for i, one in enumerate(context["budgets"])}
        self._trainings: dict[Place, Training] = {}
        self._diagnoses: dict[Place, Diagnosis] = {}
        self._records: dict[Place, Record] = {}
        self._pictures: dict[Place, dict[str, Array]] = {}

    def whole(self) -> Evaluation | None:
        """Return the run, if it has been completed before or by another process.

        One that a limit of time has stopped is not complete where there is more time now.
        """
        found = None if self._folder is None else self._folder.whole()
        if found is None or not found.complete:
            return None
        had = found.context.get("time", {})
        more = self._minutes is not None and had.get("stopped") is True
        return None if more and self._minutes > had["minutes"] else found

    def recall_model(self, contender: Contender, seed: int, *, pictured: bool) -> Outcome | None:
        """Return a model that was made ready before, None if it was not or is damaged."""
        if self._folder is None:
            return None
        name = _name("model", contender.name, seed)
        part = self._folder.part(name)
        model = None if part is None else self._model(contender, seed)
        if part is None or model is None or not (part.trainings and part.diagnoses):
            return None
        pictures = read_npz(self._folder.parts / f"{name}.npz") if pictured else {}
        if pictures is None:
            return None
        pictures = {key.removeprefix(f"{contender.name}/"): one for key, one in pictures.items()}
        (training,), (diagnosis,) = part.trainings, part.diagnoses
        subject = Subject(contender.arm, contender.name, seed, model)
        outcome = Outcome(subject, training, diagnosis, pictures)
        self._take_up(outcome)
        return outcome

    def recall(self, assignment: Assignment) -> list[Record] | None:
        """Return an assignment's records from before, None if it is still to be carried out."""
        records = self._before(assignment)
        self._records |= {self._place(one): one for one in records}
        return records or None

    def holds(self, assignment: Assignment) -> bool:
        """Return whether there are records of an assignment from before."""
        return bool(self._before(assignment))

    def add_model(self, outcome: Outcome) -> None:
        """Keep a model that is ready, and what is known of it."""
        place = self._take_up(outcome)
        if self._folder is None:
            return
        training = outcome.training
        name = _name("model", training.method, training.seed)
        if training.seconds:
            state = outcome.subject.model.state_dict()
            # A copy of each: tied weights are two names for one memory, which the format has not.
            weights = {name: value.clone().contiguous() for name, value in state.items()}
            path = self._folder.weights(training.method, training.seed)
            self._folder.check()
            write_atomically(path, save(weights))
        if (training_state := self.training_state(training.method, training.seed)) is not None:
            training_state.clear()
        if outcome.pictures:
            self._folder.keep(name, as_npz(_named(training.method, outcome.pictures)), "npz")
        # Last, because it vouches for the others.
        part = Evaluation({}, (training,), (), complete=False, diagnoses=(outcome.diagnosis,))
        self._keep(name, part, [place])

    def add_records(self, assignment: Assignment, records: Sequence[Record]) -> None:
        """Keep the records of an assignment."""
        places = [self._place(record) for record in records]
        self._records |= dict(zip(places, records, strict=True))
        part = Evaluation({}, (), tuple(records), complete=False)
        self._keep(_name(*_keys(assignment)), part, places)

    def training_state(self, method: str, seed: int) -> TrainingState | None:
        """Return where a training is saved while it goes on."""
        if self._folder is None:
            return None
        return TrainingState(self._folder.weights(method, seed).with_suffix(".unfinished"))

    def finish(self, seconds: float, workers: int, **more: Any) -> Evaluation:
        """Write the complete run and return it, with what else there is to say of it.

        Another process may have done so before.
        """
        if (before := self.whole()) is not None:
            return before
        context = {**self._context, "seconds": seconds, "workers": workers, **more}
        found = Evaluation(
            context,
            _in_order(self._trainings),
            _in_order(self._records),
            diagnoses=_in_order(self._diagnoses),
        )
        if self._folder is not None:
            self._folder.check()
            pictures: dict[str, Array] = {}
            for place in sorted(self._pictures):
                pictures |= _named(self._trainings[place].method, self._pictures[place])
            if pictures:
                write_atomically(self._folder.path / "pictures.npz", as_npz(pictures))
            found.save(self._folder.path)
        return found

    def _before(self, assignment: Assignment) -> list[Record]:
        part = None if self._folder is None else self._folder.part(_name(*_keys(assignment)))
        return [] if part is None else list(part.records)

    def _take_up(self, outcome: Outcome) -> Place:
        training = outcome.training
        place = (self._methods[training.method], training.seed)
        self._trainings[place], self._diagnoses[place] = training, outcome.diagnosis
        if outcome.pictures:
            self._pictures[place] = outcome.pictures
        return place

    def _keep(self, name: str, part: Evaluation, places: Sequence[Place]) -> None:
        if self._folder is not None:
            context = {"run": self._context["run"], "places": places}
            self._folder.keep(name, replace(part, context=context).to_json())

    def _model(self, contender: Contender, seed: int) -> Classifier | None:
        """Return the model of a contender as it was, None if its weights are lost."""
        assert self._folder is not None
        if contender.method is None:
            return given(contender, seed)
        model = copy.deepcopy(contender.start)
        try:
            model.load_state_dict(load_file(self._folder.weights(contender.name, seed)))
        except (SafetensorError, RuntimeError, OSError):
            return None
        return model.eval()

    def _place(self, record: Record) -> Place:
        return (
            self._methods[record.method],
            record.seed,
            ("undesirable", "benign").index(record.task),
            ("screen", "search", "confirm", "longer").index(record.stage),
            record.attacker,
            self._labels[record.labels],
            record.rung,
            # What a search has proposed is in no list: it stays in the order of its numbers.
            (self._blind if record.labels == 1 else self._settings).get(
                record.attack, len(self._settings)
            ),
            record.attack,
        )


def _named(method: str, pictures: Mapping[str, Array]) -> dict[str, Array]:
    return {f"{method}/{name}": one for name, one in pictures.items()}


def _in_order(entries: Mapping[Place, Kept]) -> tuple[Kept, ...]:
    return tuple(entries[place] for place in sorted(entries))


def _positions(trials: Sequence[Attack]) -> dict[str, int]:
    return {repr(trial): position for position, trial in enumerate(dict.fromkeys(trials))}


def _keys(assignment: Assignment) -> list[tuple[str | int | None, ...]]:
    """Return what tells each of an assignment's trials from every other of the run."""
    subject = assignment.subject
    whose = (subject.method, subject.seed, assignment.attacker, assignment.stage, assignment.task)
    return [
        (*whose, assignment.rung, budget.labels, budget.steps, repr(trial))
        for budget in assignment.budgets
        for trial in assignment.trials
    ]


def _name(*keys: object) -> str:
    """Return the name of the file for a piece of work."""
    return hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:20]
