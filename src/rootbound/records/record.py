"""The measurements of a model, as plain values: its training, its diagnosis, and each trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar, get_args

from rootbound.records.configuration import Configuration

PRACTICAL, EXACT = "last layer, practical", "last layer, exact"
"""The two attack families that reports show by themselves."""
Arm = Literal["defended", "undefended", "public", "scratch", "control"]
Tier = Literal["probe", "fine-tuning", "repair", "control"]
TaskName = Literal["undesirable", "benign"]
Stage = Literal["screen", "search", "confirm", "longer"]
Entry = TypeVar("Entry", "Training", "Record", "Diagnosis")


@dataclass(frozen=True)
class Training:
    """The training of one model that was attacked.

    Args:
        arm: The model's arm in the comparison.
        method: Name of the method: its class, and settings that distinguish it from others of that
            class in the run; `scratch` for random weights.
        settings: The method's class and settings; a description if nothing was trained.
        seed: Seed of the weights and of training.
        desirable_accuracy: Accuracy on the desirable test set, in [0, 1]; None for scratch.
        seconds: Time that training took.
        desirable_balanced: The same as balanced accuracy, in which every class counts the same;
            None where classes are tokens, or where an older record does not say.
        desirable_errors: Positions of the test samples that the model gets wrong, to compare models
            sample by sample; None if there are many, or if an older record does not say.
    """

    arm: Arm
    method: str
    settings: Configuration | str
    seed: int
    desirable_accuracy: float | None
    seconds: float
    desirable_balanced: float | None = None
    desirable_errors: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Diagnosis:
    """Measurements of one network before any attack; they are not evidence of resistance.

    Args:
        arm: The model's arm in the comparison.
        method: Name of the method; `scratch` for random weights.
        seed: Seed of the model.
        values: Numbers by name, as `inspection/diagnosis.py` explains them, without those that do
            not apply to the network.
    """

    arm: Arm
    method: str
    seed: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """One trial: one attack with its settings, on one model, with one budget.

    Args:
        arm: The model's arm in the comparison.
        method: Name of the method; `scratch` for random weights.
        seed: Seed of the model.
        attacker: Seed of the attacker's labels and choices.
        stage: `screen` if a whole list is tried; `search` if settings are proposed from the results
            of the screening; `confirm` if the best settings meet new attackers; `longer` if the
            best one gets many times the steps.
        tier: Kind of attack; trials of `control` do not count as attacks.
        family: What the attack retrains.
        attack: The attack's class and settings.
        labels: Labelled samples per class, None for all.
        steps: Steps at which the model was scored, increasing.
        validation: Accuracy on the attacker's validation samples at those steps, in [0, 1].
        test: Accuracy on a fixed part of the test set at those steps, for curves.
        selected: Index of the step with the best validation accuracy.
        validation_loss: Cross-entropy on validation at the selected step; it breaks ties.
        accuracy: Accuracy on the whole test set at the selected step, for the trial of each family
            with the best validation accuracy; None for the others.
        seconds: Time spent on the trial, scoring included; an equal share where trials ran
            together.
        flops: Floating-point operations of the attack without scoring, shared likewise.
        certificate: Numbers that prove how good the trial is, if the attack has any.
        error: Why the trial failed, or None.
        task: `undesirable`, or `benign` for a harmless third task that must stay learnable.
        losses: Cross-entropy on the samples of `test` at the same steps, in nats; None where it is
            not finite.
        rung: In a run with a time limit, how often the attack was given four times the steps.
        balanced: The balanced accuracy, in which every class counts the same; None if `accuracy`
            is, if classes are tokens, or if an older record does not say.
        halves: `accuracy` on two halves of the test set, each with every second sample of each
            class; empty if `accuracy` is None, or if an older record does not say.
    """

    arm: Arm
    method: str
    seed: int
    attacker: int
    stage: Stage
    tier: Tier
    family: str
    attack: Configuration
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
    losses: tuple[float | None, ...] = ()
    rung: int = 0
    balanced: float | None = None
    halves: tuple[float, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        """A key that no other record of the run has."""
        return (
            self.method, self.seed, self.attacker, self.stage, self.rung, self.task, self.labels,
            self.attack,
        )  # fmt: skip

    @property
    def preference(self) -> tuple[float, float]:
        """The attacker's preference: validation accuracy, then lower validation loss."""
        loss = math.inf if self.validation_loss is None else self.validation_loss
        return (self.validation[self.selected] if self.validation else -1.0), -loss

    def as_written(self) -> Record:
        """Return the record with its numbers rounded as in a file.

        Decisions based on records are then the same whether or not a run was interrupted.
        """
        values = {part.name: round_floats(getattr(self, part.name)) for part in fields(self)}
        return build(Record, values)


def round_floats(value: Any) -> Any:
    """Round floats to their significant digits; NaN and infinity, which JSON lacks, become None."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: round_floats(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [round_floats(entry) for entry in value]
    return value


def build(kind: type[Entry], values: Mapping[str, Any]) -> Entry:
    """Build an entry from the values of its fields, in which JSON has lists instead of tuples.

    Raises:
        ValueError: There is no such field.
        TypeError: A field is missing.
    """
    if unknown := values.keys() - kind.__dataclass_fields__.keys():
        raise ValueError(f"unknown field {min(unknown)!r}")
    arguments: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return kind(**arguments)


def check(entry: Training | Record) -> None:
    """Raise an error where an entry has a value that cannot have been measured.

    Raises:
        ValueError: A value is impossible for its field; the message names both.
        TypeError: A value has another type.
    """
    if isinstance(entry, Training):
        shares = {"desirable_accuracy", "desirable_balanced"}
        wrong = {
            "arm": entry.arm not in get_args(Arm),
            "seed": not isinstance(entry.seed, int),
        }
    else:
        shares, steps = {"accuracy", "balanced"}, len(entry.steps)
        wrong = {
            "arm": entry.arm not in get_args(Arm),
            "stage": entry.stage not in get_args(Stage),
            "task": entry.task not in get_args(TaskName),
            "seed": not isinstance(entry.seed, int),
            "attacker": not isinstance(entry.attacker, int),
            "labels": entry.labels is not None and entry.labels < 1,
            "selected": not 0 <= entry.selected < max(1, steps),
            "validation": len(entry.validation) not in (0, steps)
            or not _are_shares(entry.validation),
            "test": len(entry.test) != steps or not _are_shares(entry.test),
            "halves": len(entry.halves) not in (0, 2) or not _are_shares(entry.halves),
        }
    wrong |= {name: not _are_shares([getattr(entry, name) or 0.0]) for name in shares}
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(f"{name} of {entry.method} is {str(getattr(entry, name))[:80]}")


def _are_shares(values: Sequence[float]) -> bool:
    return all(0.0 <= value <= 1.0 for value in values)
