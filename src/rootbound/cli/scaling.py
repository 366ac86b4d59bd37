"""How a network wants its inputs scaled, where it was not trained on the data as they come."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TypeVar

from rootbound.cli.options import ScalingOptions
from rootbound.core.errors import InputError
from rootbound.data import Scaling, Task, Tasks
from rootbound.report.settings import scaling_in_words

log = logging.getLogger(__name__)
AnyTasks = TypeVar("AnyTasks", bound=Tasks)


def as_trained(
    tasks: AnyTasks,
    options: ScalingOptions,
    own: Scaling | None = None,
    *,
    keep_second: bool = False,
) -> AnyTasks:
    """Return tasks whose inputs are scaled as those that the network was trained on.

    A model's own file is believed, then the options; without either, data have their own scaling.
    A second data set that the model was trained against keeps the one that it had then.

    Args:
        tasks: Tasks to attack with, or to train on.
        options: Mean and deviation, if they were given.
        own: Scaling that the model's file states, if it states one.
        keep_second: Whether the undesirable task is of a second data set that the model was
            trained against.

    Raises:
        InputError: Mean or deviation is missing or impossible, the model's file says another, or
            the inputs are tokens.
    """
    given = _given(options)
    if given is not None and tasks.undesirable.train.tokens:
        raise InputError("--mean and --deviation of images", "texts", "leave them out")
    if given is not None and own is not None and not given.is_close(own):
        raise InputError(
            f"the scaling that the model's file states: {_in_words(own)}",
            f"--mean and --deviation that say {_in_words(given)}",
            "leave them out",
        )
    wanted = given if own is None else own
    if wanted is None:
        return tasks
    desirable = None if tasks.desirable is None else _scaled(tasks.desirable, wanted)
    if own is not None and keep_second:
        return replace(tasks, desirable=desirable)
    undesirable, defender = _scaled(tasks.undesirable, wanted), tasks.known_undesirable
    if defender is not None:
        defender = replace(defender, scaling=undesirable.train.scaling)
    return replace(tasks, desirable=desirable, undesirable=undesirable, known_undesirable=defender)


def _given(options: ScalingOptions) -> Scaling | None:
    if options.mean is None and options.deviation is None:
        return None
    if options.mean is None or options.deviation is None:
        raise InputError("--mean and --deviation", "one of them", "give both")
    mean, deviation = _numbers("mean", options.mean), _numbers("deviation", options.deviation)
    return Scaling.stated(1.0, mean, deviation)


def _numbers(name: str, value: float | list[float] | str) -> float | list[float]:
    """Return a number, or those of a list, as the command line or a file has it."""
    if not isinstance(value, str):
        return value
    try:
        return [float(number) for number in value.split(",")]
    except ValueError:
        raise InputError(
            f"numbers separated by commas in --{name}", repr(value), "correct them"
        ) from None


def _scaled(task: Task, wanted: Scaling) -> Task:
    """Return a task with that mean and deviation; what pixels are divided by stays the data's."""
    own = task.train.scaling
    if task.train.tokens or own.is_close(wanted):
        return task
    scaling = Scaling.stated(own.divisor, wanted.mean, wanted.deviation)
    train, test = (replace(part, scaling=scaling) for part in (task.train, task.test))
    log.warning(
        "inputs of %s are scaled as the network was trained (%s), not by the data's own (%s)",
        task.name, _in_words(scaling), _in_words(own),
    )  # fmt: skip
    return replace(task, train=train, test=test, own_scaling=own)


def _in_words(scaling: Scaling) -> str:
    return scaling_in_words(scaling.mean, scaling.deviation)
