"""Records: what was measured, as plain values that any JSON reader understands.

Nothing here imports torch: reports are made from records alone, on any machine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast

from rootbound.core.errors import InputError
from rootbound.core.files import write_atomically

PRACTICAL, EXACT = "last layer, practical", "last layer, exact"
"""The two attack families that reports single out."""
Entry = TypeVar("Entry", "Training", "Record", "Diagnosis")
Arm = Literal["defended", "undefended", "scratch", "control"]
Tier = Literal["probe", "fine-tuning", "repair", "control"]
TaskName = Literal["undesirable", "benign"]
Stage = Literal["screen", "search", "confirm", "longer"]
FORMAT = 2
"""Version of the JSON layout; raised when a reader of the old one would go wrong."""
WHOLE, PARTS, BEGUN = "records.json", "records", "run.json"
"""A complete run; the folder of what has come so far, a file for each piece of work, of the same
layout; and in it the file that is written first, with the context."""
MALFORMED = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a damaged file raises."""


@dataclass(frozen=True)
class Training:
    """One model that was put under attack.

    Args:
        arm: `defended`, `undefended` or `scratch`.
        method: class name of the method; `scratch` for random weights.
        settings: the method as Python would write it.
        seed: of the weights and of training.
        desirable_accuracy: on the desirable test set, in [0, 1]; None for scratch.
        seconds: of training.
    """

    arm: Arm
    method: str
    settings: str
    seed: int
    desirable_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class Diagnosis:
    """What was measured of one network itself, before any attack; no evidence of resistance.

    Args:
        arm: `defended`, `undefended` or `scratch`.
        method: class name of the method; `scratch` for random weights.
        seed: of the model.
        values: by name, as `inspection/diagnosis.py` explains them; what a network has not
            is left out.
    """

    arm: Arm
    method: str
    seed: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """One trial: one attack setting on one model with one budget.

    Args:
        arm: `defended`, `undefended`, `scratch` or `control`.
        method: class name of the method; `scratch` for random weights.
        seed: of the model.
        attacker: seed of the attacker's labels and luck.
        stage: `screen` where a whole list is tried, `search` where settings are proposed from
            what that found, `confirm` where the best settings of it
            meet new attacker seeds, `longer` for the best one with many times the steps.
        tier: `probe`, `fine-tuning` or `repair`; trials of `control` do not count as attacks.
        family: what the attack retrains.
        attack: the attack as Python would write it.
        labels: labelled samples per class, None for all.
        steps: at which the model was scored, increasing.
        validation: accuracy on the attacker's validation samples at those steps, in [0, 1].
        test: accuracy on a fixed part of the test set at those steps, for curves.
        selected: index of the step which the attacker's validation chose.
        validation_loss: cross-entropy on validation at the selected step; breaks ties.
        accuracy: on the whole test set at the selected step, for the trial of each family
            that validation prefers; None for the others.
        seconds: spent on the trial, scoring included; an equal share where trials ran together.
        flops: floating-point operations of the attack, scoring excluded, likewise.
        certificate: numbers that prove how good the trial is, if the attack gives any.
        error: why the trial failed, or None.
        task: `undesirable`, or `benign` for a harmless third task that must stay learnable.
        losses: cross-entropy on the test samples of `test`, at the same steps, in nats.
        rung: in a run with a time limit, how often the setting was given four times the steps.
    """

    arm: Arm
    method: str
    seed: int
    attacker: int
    stage: Stage
    tier: Tier
    family: str
    attack: str
    labels: int | None
    steps: tuple[int, ...]
    validation: tuple[float, ...]
    test: tuple[float, ...]
    selected: int
    validation_loss: float | None
    accuracy: float | None
    seconds: float
    flops: float
    certificate: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    task: TaskName = "undesirable"
    losses: tuple[float, ...] = ()
    rung: int = 0

    @property
    def key(self) -> tuple[str | int | None, ...]:
        """What tells it from every other record of its run."""
        whose = (self.method, self.seed, self.attacker)
        return (*whose, self.stage, self.task, self.labels, self.attack)

    @property
    def preference(self) -> tuple[float, float]:
        """By what an attacker chooses: validation accuracy, then the lower loss. Not the test."""
        loss = math.inf if self.validation_loss is None else self.validation_loss
        return (self.validation[self.selected] if self.validation else -1.0), -loss

    def as_written(self) -> Record:
        """Return the record with its numbers as a file holds them.

        What is decided by records is then the same in a run that was never interrupted.
        """
        values = {part.name: _finite(getattr(self, part.name)) for part in fields(self)}
        return _build(Record, values)


@dataclass(frozen=True)
class Evaluation:
    """Everything one comparison measured; reports are pure functions of it.

    Args:
        context: tasks, threat model, settings, versions and machine, as text and numbers.
        trainings: the models.
        records: the trials.
        complete: False while a run goes on or after it was stopped.
        diagnoses: of the models.
    """

    context: Mapping[str, Any]
    trainings: tuple[Training, ...]
    records: tuple[Record, ...]
    complete: bool = True
    diagnoses: tuple[Diagnosis, ...] = ()

    def to_json(self) -> str:
        """Return JSON, the same text for the same values."""
        content = {
            "format": FORMAT,
            "complete": self.complete,
            "context": self.context,
            "trainings": [vars(training) for training in self.trainings],
            "diagnoses": [vars(diagnosis) for diagnosis in self.diagnoses],
            "records": [vars(record) for record in self.records],
        }
        return _one_entry_a_line(content)

    def save(self, folder: Path | str) -> None:
        """Write `records.json` into a folder, whole or not at all."""
        write_atomically(Path(folder) / WHOLE, self.to_json())

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read `records.json` from a folder; of a run that is not complete, what there is.

        Raises:
            InputError: it is missing, damaged, or of another format.
        """
        folder = Path(folder)
        if not (folder / WHOLE).exists() and (folder / PARTS / BEGUN).is_file():
            return cls._gathered(folder / PARTS)
        return cls.read(folder / WHOLE)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read one file of records.

        Raises:
            InputError: it is missing, damaged, or of another format.
        """
        try:
            return cls._parsed(path)
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"records at {path}", "no such file", "check the folder") from None
        except InputError:
            raise
        except MALFORMED as error:
            raise _damaged(path, error) from None

    @classmethod
    def _parsed(cls, path: Path) -> Self:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise InputError(
                f"records of format {FORMAT} in {path}",
                f"format {content['format']}",
                "use the version of rootbound that wrote them",
            )
        if not isinstance(content["context"], dict):
            raise TypeError("the context is not a table")
        return cls(
            context=content["context"],
            trainings=tuple(_build(Training, entry) for entry in content["trainings"]),
            records=tuple(_build(Record, entry) for entry in content["records"]),
            complete=bool(content["complete"]),
            diagnoses=tuple(_build(Diagnosis, entry) for entry in content.get("diagnoses", ())),
        )

    @classmethod
    def _gathered(cls, folder: Path) -> Self:
        """Put the parts of a run together; each says where its entries belong."""
        parts = [cls.read(path) for path in sorted(folder.glob("*.json")) if path.name != BEGUN]
        try:
            return replace(
                cls.read(folder / BEGUN),
                trainings=_in_place((part, part.trainings) for part in parts),
                diagnoses=_in_place((part, part.diagnoses) for part in parts),
                records=_in_place((part, part.records) for part in parts),
            )
        except MALFORMED as error:
            raise _damaged(folder, error) from None


def _in_place(found: Iterable[tuple[Evaluation, Sequence[Entry]]]) -> tuple[Entry, ...]:
    """Return entries of parts in the order of the places that their part's context gives."""
    placed = [
        (place, entry)
        for part, entries in found
        for place, entry in zip(part.context["places"], entries, strict=bool(entries))
    ]
    return tuple(entry for _, entry in sorted(placed, key=lambda one: one[0]))


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"records in {path}", f"{type(error).__name__}: {error}", "run it again")


def _one_entry_a_line(content: dict[str, Any]) -> str:
    """Write a dictionary of values and lists so that each list entry has its own line."""
    parts = []
    for key, value in content.items():
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(_finite(entry), ensure_ascii=False) for entry in value)
            parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(_finite(value), ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _finite(value: Any) -> Any:
    """Round floats to what means something, and turn those that JSON has no word for to null."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value


def _build(kind: type[Entry], entry: Any) -> Entry:
    known = {part.name for part in fields(kind)}
    if unknown := set(entry) - known:
        raise ValueError(f"unknown field {sorted(unknown)[0]!r}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return cast(Callable[..., Entry], kind)(**values)
