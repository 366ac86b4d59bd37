"""Keep norms and dropout in evaluation mode while the rest of a network is in train mode."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

SAYING_SO = ("training", "use_input_stats", "train")
"""Parameters that switch a function of torch to train mode."""
BUILT_IN: dict[Callable[..., Any], str] = {
    torch.dropout: "input p train",
    torch.batch_norm: "input weight bias running_mean running_var training momentum eps "
    "cudnn_enabled",
}
"""The parameters of functions that have no signature."""


def _find_functions() -> dict[Callable[..., Any], tuple[inspect.Signature, str]]:
    """Return the functions of torch with a train mode, and the parameter that switches it."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signatures = {
        function: inspect.Signature([inspect.Parameter(name, kind) for name in names.split()])
        for function, names in BUILT_IN.items()
    }
    for name, function in vars(functional).items():
        if inspect.isfunction(function) and not name.startswith("_"):
            signatures[function] = inspect.signature(function)
    return {
        function: (signature, flag)
        for function, signature in signatures.items()
        for flag in SAYING_SO
        if flag in signature.parameters
    }


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
        return function(*args, **kwargs)
