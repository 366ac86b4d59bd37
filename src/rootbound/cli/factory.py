"""Finding and calling a function in a user's file that makes a network."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from rootbound.core.errors import InputError, take_first_line
from rootbound.core.user_code import load_named
from rootbound.networks import MODELS

ONE_OF = f"{', '.join(MODELS)}, a config.json, or file.py:function that returns a torch.nn.Module"


def find_factory(name: str) -> Callable[..., Any]:
    """Return the function that `file.py:function` names; the file is executed.

    Raises:
        InputError: There is no such function, or the file cannot be run.
    """
    named = load_named(name)
    if not callable(named):
        raise InputError(ONE_OF, repr(name), "correct --model")
    return named


def asks_for_classes(make: Callable[..., Any]) -> bool:
    """Return whether a function has a parameter `classes`."""
    try:
        parameter = inspect.signature(make).parameters.get("classes")
    except (TypeError, ValueError):  # some functions that are not written in Python do not tell
        return False
    return parameter is not None and parameter.kind in (
        parameter.POSITIONAL_OR_KEYWORD,
        parameter.KEYWORD_ONLY,
    )


def with_classes(make: Callable[..., Any], classes: int) -> Callable[..., Any]:
    """Return a function without arguments, with `classes` filled in if the function takes it."""
    return partial(make, classes=classes) if asks_for_classes(make) else make


def call_factory(make: Callable[..., Any], name: str) -> nn.Module:
    """Return the network that a function makes.

    Raises:
        InputError: It cannot be called, or it returns no network.
    """
    try:
        module = make()
    except (Exception, SystemExit) as error:  # it is the user's code
        raise InputError(
            f"to be able to call {name}",
            f"{type(error).__name__}: {take_first_line(error)}",
            "correct the function; it is called with the number of classes, if it asks for "
            "`classes`, and with nothing else",
        ) from None
    if not isinstance(module, nn.Module):
        raise InputError(ONE_OF, f"{name}, which returns {type(module).__name__}", "correct it")
    return module
