"""What a network makes of samples; where that is no tensor, or an error of its own, in words."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError

REFUSALS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)
"""How networks say that samples do not suit them; torchvision and timm assert sizes."""


def outputs_of(module: nn.Module, samples: Tensor) -> Tensor:
    """Return the outputs of a network in evaluation mode; nothing in it changes.

    Raises:
        InputError: it cannot take the samples, or what comes out is no tensor.
    """
    try:
        with torch.no_grad():
            return tensor_of(copy.deepcopy(module).eval()(samples))
    except InputError:
        raise
    except REFUSALS as error:
        raise unfit(samples.shape[1:], error) from None


def tensor_of(outputs: object) -> Tensor:
    """Return what a network gave, if that is a tensor.

    Raises:
        InputError: it is not, as with `transformers`, whose networks return an object.
    """
    if isinstance(outputs, Tensor):
        return outputs
    held = hasattr(outputs, "logits")
    raise InputError(
        "a network whose forward returns a tensor, the logits",
        f"{type(outputs).__name__}{', which holds them' if held else ''}",
        "wrap a module whose forward returns the logits"
        + (", as by `return self.network(inputs).logits`" if held else " alone"),
    )


def unfit(shape: Sequence[int], error: Exception) -> InputError:
    """Return the error for samples of a shape that a network cannot take."""
    reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
    return InputError(
        "samples that the model can take",
        f"shape {tuple(shape)} ({reason})",
        f"choose another model or {'a smaller --length' if len(shape) == 1 else 'resize the data'}",
    )
