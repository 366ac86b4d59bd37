"""The folder of a run: everything found so far, so that an interrupted run can go on."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from rootbound.attacks import Attack, Suite
from rootbound.errors import InputError
from rootbound.evaluation.jobs import Contender, Outcome
from rootbound.evaluation.pictures import Array, save_pictures
from rootbound.files import make_folder, write_atomically
from rootbound.models import Classifier
from rootbound.records import Diagnosis, Evaluation, Record, Training

OfModel = TypeVar("OfModel", bound=Training | Diagnosis)


class Journal:
    """Keeps what is found, in a fixed order whatever the order it comes in, and writes it.

    Args:
        context: what the run is; its `run` tells whether an older run is the same.
        methods: names, in the order of the report.
        suite: in whose order trials come; with one label a class the first that works is the
            attacker's choice, so that the order of the fixed settings decides.
        folder: where everything is kept; nowhere if None.
    """

    def __init__(
        self,
        context: Mapping[str, Any],
        methods: Sequence[str],
        suite: Suite,
        folder: Path | None,
    ) -> None:
        self._methods = {name: position for position, name in enumerate(methods)}
        self._settings = _positions((*suite.attacks, *suite.blind, *suite.benign))
        self._blind = _positions(suite.blind)
        self._labels = {one["labels"]: i for i, one in enumerate(context["budgets"])}
        self.evaluation = Evaluation(context, (), (), complete=False)
        self.folder = folder
        self._pictures: dict[str, Array] = {}
        self._saved, self._cost = -math.inf, 0.0
        self.before = Evaluation(context, (), (), complete=False)
        if folder is not None:
            make_folder(folder)
            self._look_back()

    def _look_back(self) -> None:
        """Take up a run of the same settings: what it has is not done again."""
        assert self.folder is not None
        try:
            before = Evaluation.load(self.folder)
        except InputError:
            return
        if before.context.get("run") == self.evaluation.context["run"]:
            self.before = before

    def trained(self, contender: Contender, seed: int) -> tuple[Classifier, Training] | None:
        """Return a model that was trained when the run was begun before."""
        matching = [
            one for one in self.before.trainings if (one.method, one.seed) == (contender.name, seed)
        ]
        path = self._weights(contender.name, seed)
        if contender.method is None or not matching or path is None or not path.is_file():
            return None
        model = copy.deepcopy(contender.start)
        try:
            model.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError, OSError):
            return None
        return model.eval(), matching[0]

    def add_model(self, outcome: Outcome) -> None:
        """Keep a model that is ready, and what is known of it."""
        training, pictures, found = outcome.training, outcome.pictures, self.evaluation
        self.evaluation = replace(
            found,
            trainings=self._in_order((*found.trainings, training)),
            diagnoses=self._in_order((*found.diagnoses, outcome.diagnosis)),
        )
        path = self._weights(training.method, training.seed)
        if path is not None and training.seconds:
            state = outcome.subject.model.state_dict()
            weights = {name: value.contiguous() for name, value in state.items()}
            write_atomically(path, save(weights))
        self._pictures |= {f"{training.method}/{name}": one for name, one in pictures.items()}
        if pictures and self.folder is not None:
            order = sorted(self._pictures, key=lambda one: self._methods[one.partition("/")[0]])
            save_pictures(self.folder, {name: self._pictures[name] for name in order})
        self.save()

    def add_records(self, records: Sequence[Record]) -> None:
        """Keep records."""
        self.evaluation = replace(
            self.evaluation,
            records=tuple(sorted((*self.evaluation.records, *records), key=self._position)),
        )
        # Each time everything is written: at most a twentieth of the time goes into that.
        if time.monotonic() - self._saved > 20 * self._cost:
            self.save()

    def finish(self, seconds: float, workers: int, **more: Any) -> Evaluation:
        """Mark the run as complete; keep what else there is to say of it."""
        context = {**self.evaluation.context, "seconds": seconds, "workers": workers, **more}
        self.evaluation = replace(self.evaluation, context=context, complete=True)
        self.save()
        return self.evaluation

    def save(self) -> None:
        """Write what there is."""
        if self.folder is not None:
            started = time.monotonic()
            self._whole().save(self.folder)
            self._saved = time.monotonic()
            self._cost = self._saved - started

    def _whole(self) -> Evaluation:
        """Return what there is, with what was there before and has not come up again yet."""
        found, before = self.evaluation, self.before
        if found.complete or not before.trainings:
            return found
        records = {self._position(one): one for one in (*before.records, *found.records)}
        return replace(
            found,
            trainings=self._in_order(_newest(before.trainings, found.trainings)),
            diagnoses=self._in_order(_newest(before.diagnoses, found.diagnoses)),
            records=tuple(records[position] for position in sorted(records)),
        )

    def _in_order(self, entries: Sequence[OfModel]) -> tuple[OfModel, ...]:
        return tuple(sorted(entries, key=lambda one: (self._methods[one.method], one.seed)))

    def _weights(self, method: str, seed: int) -> Path | None:
        if self.folder is None:
            return None
        return self.folder / "models" / f"{method}-{seed}.safetensors"

    def _position(self, record: Record) -> tuple[int | str, ...]:
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


def _newest(before: Sequence[OfModel], now: Sequence[OfModel]) -> list[OfModel]:
    return list({(one.method, one.seed): one for one in (*before, *now)}.values())


def _positions(trials: Sequence[Attack]) -> dict[str, int]:
    return {repr(trial): position for position, trial in enumerate(dict.fromkeys(trials))}
