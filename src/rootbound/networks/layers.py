"""Layers that need special treatment: activations, and BatchNorm with its running statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

ACTIVATIONS = (
    nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus,
)  # fmt: skip
"""Modules that count as activations."""


def find_activations(block: nn.Module) -> list[nn.Module]:
    """Return the activations of a block, in the order of their definition."""
    return [part for part in block.modules() if isinstance(part, ACTIVATIONS)]


def run_with_preactivation(block: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return a block's outputs and the inputs of its last activation.

    The last activation is the one that runs last, whatever the order of definition. If none runs,
    the outputs stand in for its inputs.
    """
    last_inputs: list[Tensor] = []

    def remember(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        # Copy them, because the activation may work in place.
        last_inputs[:] = [arguments[0].clone()]

    handles = [part.register_forward_pre_hook(remember) for part in find_activations(block)]
    try:
        outputs: Tensor = block(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return outputs, last_inputs[0] if last_inputs else outputs


def find_batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the normalisations that keep running statistics."""
    parts = model.modules()
    return [part for part in parts if isinstance(part, _BatchNorm) and part.track_running_stats]


@contextlib.contextmanager
def freeze_running_statistics(model: nn.Module) -> Iterator[None]:
    """Keep running statistics as they are; in train mode each batch is scaled by its own."""
    norms = find_batch_norms(model)
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
