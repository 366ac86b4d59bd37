"""What a network is before it is bent: the inputs of its activations."""

from __future__ import annotations

from torch import Tensor, nn

ACTIVATIONS = (
    nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus,
)  # fmt: skip
"""Modules that count as activations."""


def activations(block: nn.Module) -> list[nn.Module]:
    """Return the activations of a block, in the order they were defined in."""
    return [part for part in block.modules() if isinstance(part, ACTIVATIONS)]


def with_last_activated(block: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return a block's outputs and what its last activation was given.

    That is the last one to run, whatever the order they were defined in; if none of them
    runs, the outputs themselves.
    """
    seen: list[Tensor] = []

    def remember(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        # A copy, because the activation may work in place.
        seen[:] = [given[0].clone()]

    handles = [part.register_forward_pre_hook(remember) for part in activations(block)]
    try:
        outputs: Tensor = block(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return outputs, seen[0] if seen else outputs
