"""What a model's file says of its data, where the options leave that open."""

from __future__ import annotations

from jsonargparse import Namespace

from rootbound.cli.tasks import settle, settle_reading
from rootbound.core.errors import InputError
from rootbound.publishing import Origin
from rootbound.publishing.header import ELSEWHERE


def settle_tasks(options: Namespace, origin: Origin) -> None:
    """Fill in data, classes and how to read them, all by the file; one data set stays one.

    Raises:
        InputError: as `settle_data` does.
    """
    together = origin.undesirable_data == origin.data
    settle_data(options, "data", origin.data)
    settle_data(options, "undesirable_data", options.data if together else origin.undesirable_data)
    settle(options, "desirable", origin.desirable)
    settle(options, "undesirable", origin.undesirable)
    settle_reading(options, origin)


def settle_data(options: Namespace, name: str, value: str) -> None:
    """Fill in a data set.

    Raises:
        InputError: the file was published, and says what the data are called alone.
    """
    settle(options, name, value)
    if ELSEWHERE in options[name]:
        option = f"--{name.replace('_', '-')}"
        raise InputError(
            f"{option}, a data set like the one that the model is for",
            f"its name alone, {options[name].rpartition('/')[2]}, in a published model",
            f"say by {option} where it lies",
        )
