"""Keep norms and dropout in evaluation mode while the rest of a network is in train mode."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

SAYING_SO = ("training", "use_input_stats")
"""Parameters that switch a function of torch to train mode."""
POSITIONS: dict[Callable[..., Any], int] = {torch.dropout: 2, torch.batch_norm: 5}
"""The position of this parameter in functions without a signature."""


def _find_functions() -> dict[Callable[..., Any], tuple[inspect.Signature, str]]:
    """Return the functions of torch with a train mode, and the parameter that switches it."""
    found: dict[Callable[..., Any], tuple[inspect.Signature, str]] = {}
    for name, function in vars(functional).items():
        if inspect.isfunction(function) and not name.startswith("_"):
            signature = inspect.signature(function)
            flags = [flag for flag in SAYING_SO if flag in signature.parameters]
            if flags:
                found[function] = signature, flags[0]
    return found


FUNCTIONS = _find_functions()


class SteadyLayers(TorchFunctionMode):
    """While it is active, norms and dropout run in evaluation mode, whatever their caller asks."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function in evaluation mode."""
        kwargs = kwargs or {}
        if function in FUNCTIONS:
            signature, flag = FUNCTIONS[function]
            bound = signature.bind(*args, **kwargs)
            # A norm without running statistics has to use those of its batch.
            if bound.arguments.get("running_mean", 0) is not None:
                bound.arguments[flag] = False
            args, kwargs = bound.args, bound.kwargs
        elif function in POSITIONS and len(args) > POSITIONS[function]:
            position = POSITIONS[function]
            args = (*args[:position], False, *args[position + 1 :])
        return function(*args, **kwargs)
