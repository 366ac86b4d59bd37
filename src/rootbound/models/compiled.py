"""Blocks that `torch.compile` makes faster, where it does, for as long as a training takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rootbound.errors import InputError
from rootbound.models.classifier import Classifier

TWICE = "double backward"
LIMIT = 1024
"""How often blocks are compiled: for each block, mode, and size of a batch."""


@contextlib.contextmanager
def compiled(model: Classifier) -> Iterator[None]:
    """Call the blocks and the head as `torch.compile` writes them, from their first call on.

    In place and one by one, because losses call them one by one: parameters and their names stay
    as they are.

    Raises:
        InputError: a loss is differentiated twice, which compiled code cannot be.
    """
    parts = [*model.blocks, model.head]
    for part in parts:
        part._compiled_call_impl = torch.compile(_called(part))
    try:
        # torch counts how often a function is compiled, and that of all blocks is one; and takes
        # it that no graph is gone through again, which some methods do.
        with (
            torch._dynamo.config.patch(recompile_limit=LIMIT, accumulated_recompile_limit=LIMIT),
            torch._functorch.config.patch(donated_buffer=False),
        ):
            yield
    except RuntimeError as error:
        if TWICE not in str(error):
            raise
        raise InputError(
            "a method that differentiates once, where it is to be compiled",
            str(error).splitlines()[0],
            "leave --compile out",
        ) from None
    finally:
        for part in parts:
            part._compiled_call_impl = None


def _called(part: nn.Module) -> Callable[..., Tensor]:
    """Return the call as a function of our own: those of torch's own modules are not compiled."""

    def call(*given: Any, **named: Any) -> Tensor:
        outputs: Tensor = part._call_impl(*given, **named)
        return outputs

    return call
