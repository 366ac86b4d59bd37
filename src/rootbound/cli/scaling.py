"""How a network wants its inputs scaled, where it was not trained on the data as they come."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TypeVar

from jsonargparse import ArgumentParser, Namespace

from rootbound.core.errors import InputError
from rootbound.data import Scaling, Task, Tasks
from rootbound.publishing import Origin
from rootbound.publishing.header import hide_path
from rootbound.report.settings import scaling_in_words

NEAR = 1e-3
"""Deviations by which two scalings may differ and count as one: sums of floats are rounded."""
log = logging.getLogger(__name__)
GIVEN = float | list[float] | str
Some = TypeVar("Some", bound=Tasks)


def add_scaling(parser: ArgumentParser) -> None:
    """Add the options that say how a stranger's network wants its inputs scaled."""
    parser.add_argument(
        "--mean", type=GIVEN, default=None,
        help="with --deviation: what a stranger's network was trained on, of pixels that are from "
        "0 to 1, in place of the data's own: (x / 255 - mean) / deviation; one number, or one for "
        "each channel as in 0.485,0.456,0.406",
    )  # fmt: skip
    parser.add_argument("--deviation", type=GIVEN, default=None, help="with --mean")


def as_trained(tasks: Some, origin: Origin | None, options: Namespace) -> Some:
    """Return tasks whose inputs are scaled as those that the network was trained on.

    A model's own file is believed, then the options; without either, data have their own scaling.
    A second data set that the model was trained against keeps the one that it had then.

    Args:
        tasks: to attack with, or to train on.
        origin: where the model comes from, if that is known.
        options: as parsed, the data sets named.

    Raises:
        InputError: mean or deviation is missing or cannot be, the model's file says another, or
            the inputs are tokens.
    """
    own, told = None if origin is None else origin.scaling, _told(options)
    if told is not None and tasks.undesirable.train.tokens:
        raise InputError("--mean and --deviation of images", "texts", "leave them out")
    if told is not None and own is not None and not _near(told, own):
        raise InputError(
            f"the scaling that the model's file states: {_in_words(own)}",
            f"--mean and --deviation that say {_in_words(told)}",
            "leave them out",
        )
    wanted = told if own is None else own
    if wanted is None:
        return tasks
    other = options.undesirable_data
    second = other not in (None, options.data)
    # A published file has the name alone.
    known = origin is not None and origin.undesirable_data in (other, hide_path(other or ""))
    desirable = None if tasks.desirable is None else _scaled(tasks.desirable, wanted)
    if own is not None and second and known:
        return replace(tasks, desirable=desirable)
    undesirable, defender = _scaled(tasks.undesirable, wanted), tasks.known_undesirable
    if defender is not None:
        defender = replace(defender, scaling=undesirable.train.scaling)
    return replace(tasks, desirable=desirable, undesirable=undesirable, known_undesirable=defender)


def _numbers(name: str, given: float | list[float] | str) -> float | list[float]:
    """Return a number, or those of a list, as the command line or a file has it."""
    if not isinstance(given, str):
        return given
    try:
        return [float(one) for one in given.split(",")]
    except ValueError:
        raise InputError(
            f"numbers separated by commas in --{name}", repr(given), "correct them"
        ) from None


def _told(options: Namespace) -> Scaling | None:
    if options.mean is None and options.deviation is None:
        return None
    if options.mean is None or options.deviation is None:
        raise InputError("--mean and --deviation", "one of them", "give both")
    given = (_numbers(name, options[name]) for name in ("mean", "deviation"))
    return Scaling.stated(1.0, *given)


def _scaled(task: Task, wanted: Scaling) -> Task:
    """Return a task with that mean and deviation; what pixels are divided by is the data's own."""
    found = task.train.scaling
    if task.train.tokens or _near(found, wanted):
        return task
    scaling = Scaling.stated(found.divisor, wanted.mean, wanted.deviation)
    train, test = (replace(part, scaling=scaling) for part in (task.train, task.test))
    log.warning(
        "inputs of %s are scaled as the network was trained (%s), not by the data's own (%s)",
        task.name, _in_words(scaling), _in_words(found),
    )  # fmt: skip
    return replace(task, train=train, test=test, own_scaling=found)


def _near(one: Scaling, other: Scaling) -> bool:
    """Return whether two scalings count as one, where one number stands for all channels."""
    count = max(len(one.channels), len(other.channels))
    ours, theirs = (
        pairs * count if len(pairs) == 1 else pairs for pairs in (one.channels, other.channels)
    )
    return len(ours) == len(theirs) and all(
        math.isclose(a, b, rel_tol=0, abs_tol=NEAR * min(first[1], second[1]))
        for first, second in zip(ours, theirs, strict=True)
        for a, b in zip(first, second, strict=True)
    )


def _in_words(scaling: Scaling) -> str:
    return scaling_in_words(scaling.mean, scaling.deviation)
