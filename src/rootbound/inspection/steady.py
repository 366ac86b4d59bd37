"""Keep norms and dropout in evaluation mode while the rest of a network is in train mode."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

HELD_AT = {"training": False, "use_input_stats": False, "train": False, "dropout_p": 0.0}
"""Parameters that switch a function of torch to train mode, and their value in evaluation mode."""
BUILT_IN: dict[Callable[..., Any], str] = {
    torch.dropout: "input p train",
    functional.scaled_dot_product_attention: "query key value attn_mask dropout_p is_causal "
    "* scale enable_gqa",
    # A packed sequence has one argument more before the last ones, so that the rate of its dropout
    # is held at 0 in place of `train`.
    **dict.fromkeys(
        (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu),
        "input hx params has_biases num_layers dropout train bidirectional batch_first",
    ),
    torch.batch_norm: "input weight bias running_mean running_var training momentum eps "
    "cudnn_enabled",
}
"""The parameters of functions that have no signature; those after a star are named by callers."""


def _find_functions() -> dict[Callable[..., Any], tuple[inspect.Signature, str]]:
    """Return the functions of torch with a train mode, and the parameter that switches it."""
    signatures = {function: _make_signature(names) for function, names in BUILT_IN.items()}
    for name, function in vars(functional).items():
        if inspect.isfunction(function) and not name.startswith("_"):
            signatures[function] = inspect.signature(function)
    return {
        function: (signature, flag)
        for function, signature in signatures.items()
        for flag in HELD_AT
        if flag in signature.parameters
    }


def _make_signature(names: str) -> inspect.Signature:
    """Return a signature with these parameters."""
    anywhere, _, named = names.partition(" * ")
    kinds = ((anywhere, inspect.Parameter.POSITIONAL_OR_KEYWORD),
             (named, inspect.Parameter.KEYWORD_ONLY))  # fmt: skip
    return inspect.Signature(
        [inspect.Parameter(name, kind) for some, kind in kinds for name in some.split()]
    )


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
            bound = signature.bind_partial(*args, **kwargs)
            # A norm without running statistics has to use those of its batch.
            if bound.arguments.get("running_mean", 0) is not None:
                bound.arguments[flag] = HELD_AT[flag]
            args, kwargs = bound.args, bound.kwargs
        return function(*args, **kwargs)
