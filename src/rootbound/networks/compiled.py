"""Networks that `torch.compile` makes faster, where it does, for as long as a training takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks.classifier import Classifier

TWICE = "double backward"
LIMIT = 1024
"""Most that blocks are compiled: for each block, mode, and size of a batch."""
SETTINGS = {
    # torch counts how often a function is compiled, and that of all blocks is one.
    "recompile_limit": LIMIT,
    "accumulated_recompile_limit": LIMIT,
    # Or a hook that comes later, such as one that reads before an activation, is never called.
    "skip_nnmodule_hook_guards": False,
}
# Some methods go through a graph again.
GRADIENTS = {"donated_buffer": False}


@contextlib.contextmanager
def compiled(model: Classifier) -> Iterator[None]:
    """Call the network, its blocks and its head as `torch.compile` writes them.

    Each from its first call on, in place: parameters and their names stay as they are. Losses that
    read between blocks call these one by one; the network as a whole is faster.

    Raises:
        InputError: a loss is differentiated twice, which compiled code cannot be, or there is no
            compiler.
    """
    parts = [model, *model.blocks, model.head]
    for part in parts:
        part._compiled_call_impl = torch.compile(_called(part))
    try:
        with torch._dynamo.config.patch(SETTINGS), torch._functorch.config.patch(GRADIENTS):
            yield
    except RuntimeError as error:
        failed = isinstance(error, torch._dynamo.exc.BackendCompilerFailed)
        if not failed and TWICE not in str(error):
            raise
        expected = (
            "a machine on which torch.compile works, with a C++ compiler"
            if failed
            else "a method that differentiates once, where it is to be compiled"
        )
        lines = [line for line in str(error).splitlines() if line and not line.endswith("raised:")]
        reason = lines[0] if lines else type(error).__name__
        raise InputError(expected, reason, "leave --compile out") from None
    finally:
        for part in parts:
            part._compiled_call_impl = None


def _called(part: nn.Module) -> Callable[..., Tensor]:
    """Return the call as a function of our own: those of torch's own modules are not compiled."""

    def call(*given: Any, **named: Any) -> Tensor:
        outputs: Tensor = part._call_impl(*given, **named)
        return outputs

    return call
