"""Scaling inputs for a network that was trained with another scaling than the data's own."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TypeVar

from rootbound.cli.options import ScalingOptions
from rootbound.core.errors import InputError
from rootbound.data import Scaling, Task, Tasks
from rootbound.report.settings import scaling_in_words

log = logging.getLogger(__name__)
LOOKED_AT = 10_000
"""Number of samples from which the range of pixels is found."""
AnyTasks = TypeVar("AnyTasks", bound=Tasks)


def as_trained(
    tasks: AnyTasks,
    options: ScalingOptions,
    own: Scaling | None = None,
    *,
    keep_second: bool = False,
) -> AnyTasks:
    """Return tasks with inputs scaled as in the network's training.

    The model's own file decides, then the options; without either, data keep their own scaling. A
    second data set that the model was trained against keeps its scaling of that time.

    Args:
        tasks: Tasks to attack with, or to train on.
        options: Mean and deviation, if they were given.
        own: Scaling that the model's file states, if it states one.
        keep_second: Whether the undesirable task is of a second data set that the model was
            trained against.

    Raises:
        InputError: Mean or deviation is missing or impossible, the model's file states another
            scaling, or the inputs are tokens.
    """
    given = _read_scaling(options)
    if given is not None and tasks.undesirable.train.tokens:
        raise InputError("--mean and --deviation of images", "texts", "leave them out")
    if given is not None and own is not None and not given.is_close(own):
        raise InputError(
            f"the scaling that the model's file states: {in_words(own)}",
            f"--mean and --deviation that say {in_words(given)}",
            "leave them out",
        )
    wanted = given if own is None else own
    if wanted is None:
        return tasks
    black_white = None if given is None else _find_range(options, tasks.undesirable)
    desirable = None if tasks.desirable is None else _rescale(tasks.desirable, wanted, black_white)
    if own is not None and keep_second:
        return replace(tasks, desirable=desirable)
    undesirable, defender = (
        _rescale(tasks.undesirable, wanted, black_white),
        tasks.known_undesirable,
    )
    if defender is not None:
        defender = replace(defender, scaling=undesirable.train.scaling)
    return replace(tasks, desirable=desirable, undesirable=undesirable, known_undesirable=defender)


def _read_scaling(options: ScalingOptions) -> Scaling | None:
    if options.mean is None and options.deviation is None:
        if options.range is not None:
            raise InputError("--range with --mean and --deviation", "it alone", "give them, too")
        return None
    if options.mean is None or options.deviation is None:
        raise InputError("--mean and --deviation", "one of them", "give both")
    mean, deviation = (
        _read_numbers("mean", options.mean),
        _read_numbers("deviation", options.deviation),
    )
    return Scaling.stated(1.0, mean, deviation)


def _read_numbers(name: str, value: float | list[float] | str) -> float | list[float]:
    """Parse a number, or a list of numbers, from the command line or a file."""
    if not isinstance(value, str):
        return value
    try:
        return [float(number) for number in value.split(",")]
    except ValueError:
        raise InputError(
            f"numbers separated by commas in --{name}", repr(value), "correct them"
        ) from None


def _find_range(options: ScalingOptions, task: Task) -> tuple[float, float] | None:
    """Return the values of black and white for floating-point pixels; None for integer ones.

    Raises:
        InputError: The range does not consist of two numbers; or it was not given, and pixels are
            not from 0 to 1.
    """
    inputs, divisor = task.train.inputs, task.train.scaling.divisor
    if not inputs.is_floating_point() or divisor != 1:
        if options.range is not None:
            raise InputError("no --range", "pixels that are whole numbers", "leave it out")
        return None
    if options.range is not None:
        numbers = _read_numbers("range", options.range)
        if not isinstance(numbers, list) or len(numbers) != 2 or numbers[0] >= numbers[1]:
            raise InputError(
                "--range with black and white, such as 0,255", options.range, "correct it"
            )
        return numbers[0], numbers[1]
    some = inputs[:LOOKED_AT]
    low, high = float(some.min()), float(some.max())
    if low < 0 or high > 1:
        raise InputError(
            "pixels from 0 to 1, of which --mean and --deviation are taken",
            f"floating point from {low:g} to {high:g}",
            "give black and white with --range, such as 0,255 or -1,1",
        )
    return 0.0, 1.0


def _rescale(task: Task, wanted: Scaling, black_white: tuple[float, float] | None = None) -> Task:
    """Return a task with another mean and deviation, but the data's own divisor.

    If black and white are given, mean and deviation are for pixels from 0 to 1.
    """
    own = task.train.scaling
    divisor, shift = own.divisor, 0.0
    if black_white is not None:
        divisor = black_white[1] - black_white[0]
        shift = black_white[0] / divisor
    means = [mean + shift for mean, _ in wanted.channels]
    scaling = Scaling.stated(divisor, means, [deviation for _, deviation in wanted.channels])
    if task.train.tokens or (own.divisor == divisor and own.is_close(scaling)):
        return task
    scaled = task.rescaled(scaling)
    log.warning(
        "inputs of %s are scaled as the network was trained (%s), not by the data's own (%s)",
        task.name, in_words(scaling), in_words(own),
    )  # fmt: skip
    return scaled


def in_words(scaling: Scaling) -> str:
    """Return mean and deviation."""
    return scaling_in_words(scaling.mean, scaling.deviation)
