"""Compiling a network with `torch.compile` for the duration of a training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks.classifier import Classifier

MOST_COMPILATIONS = 1024
"""Largest number of compilations: one for each block, mode, and size of a batch."""
SETTINGS = {
    # torch counts the compilations of a function, and all blocks are called by the same one.
    "recompile_limit": MOST_COMPILATIONS,
    "accumulated_recompile_limit": MOST_COMPILATIONS,
    # Otherwise a later hook, such as one that reads before an activation, is never called.
    "skip_nnmodule_hook_guards": False,
}
# Some methods go backward through a graph more than once.
GRADIENT_SETTINGS = {"donated_buffer": False}


@contextlib.contextmanager
def compiled(model: Classifier) -> Iterator[None]:
    """Compile the network, its blocks and its head, each at its first call.

    Parameters and their names stay as they are. Losses that read between blocks call these one by
    one; the network as a whole is faster.

    Raises:
        InputError: A loss is differentiated twice, which is impossible with compiled code, or there
            is no compiler.
    """
    parts = [model, *model.blocks, model.head]
    for part in parts:
        part._compiled_call_impl = torch.compile(_as_function(part))
    try:
        with torch._dynamo.config.patch(SETTINGS), torch._functorch.config.patch(GRADIENT_SETTINGS):
            yield
    except RuntimeError as error:
        if isinstance(error, torch._dynamo.exc.BackendCompilerFailed):
            expected = "a machine on which torch.compile works, with a C++ compiler"
        elif "double backward" in str(error):
            expected = "a method that differentiates only once, since it is compiled"
        else:
            raise
        lines = [line for line in str(error).splitlines() if line and not line.endswith("raised:")]
        reason = lines[0] if lines else type(error).__name__
        raise InputError(expected, reason, "leave `compiled` out") from None
    finally:
        for part in parts:
            part._compiled_call_impl = None


def _as_function(part: nn.Module) -> Callable[..., Tensor]:
    """Return a module's call as a function of our own: torch does not compile its own modules'."""

    def call(*arguments: Any, **options: Any) -> Tensor:
        outputs: Tensor = part._call_impl(*arguments, **options)
        return outputs

    return call
