"""The head of somebody else's network: found, taken off, and put back."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks.outputs import outputs_of


def find_head(module: nn.Module, name: str | None, example: Tensor | None) -> str:
    """Return the name of the linear layer whose outputs are the network's.

    Args:
        module: the network.
        name: that the user gives it; found when left out.
        example: inputs to find it with; without, it is the last layer of the network.

    Raises:
        InputError: there is no such linear layer, or the network does not take the example.
    """
    parts = dict(module.named_modules())
    if name is None:
        name = _last(parts) if example is None else _last_to_run(module, example)
    if not name or not isinstance(parts.get(name), nn.Linear):
        found = [name for name, part in parts.items() if isinstance(part, nn.Linear)]
        raise InputError(
            f"head to name a linear layer ({', '.join(found) or 'the network has none'})",
            repr(name),
            "pass the name of the one whose outputs are the logits, or an example",
        )
    return name


def replaced(module: nn.Module, name: str, part: nn.Module) -> nn.Module:
    """Return the network with another part of that name."""
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, part)
    return module


def check_same(expected: Tensor, made: nn.Module, name: str, example: Tensor) -> None:
    """Raise an `InputError` where a network's outputs are not what its head makes.

    Args:
        expected: the network's outputs.
        made: its backbone, then its head.
        name: of the head.
        example: the inputs.
    """
    try:
        found = outputs_of(made, example)
    except InputError:  # features may not even fit
        found = None
    if (
        found is None
        or expected.shape != found.shape
        or not torch.allclose(expected, found, rtol=1e-4, atol=1e-5)
    ):
        raise InputError(
            "a network whose outputs come straight from its head",
            f"one that does more after {name}",
            "name another head, or leave what follows to the loss",
        )


def _last(parts: Mapping[str, nn.Module]) -> str:
    """Return the name of the last layer if that is linear, else nothing: who knows what follows."""
    leaves = [(name, part) for name, part in parts.items() if not list(part.children())]
    name, part = leaves[-1]
    return name if isinstance(part, nn.Linear) else ""


def _last_to_run(module: nn.Module, example: Tensor) -> str:
    """Return the name of the linear layer whose output is the network's, empty if there is none."""
    seen: dict[str, Tensor] = {}
    module = copy.deepcopy(module)
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(lambda *call, name=name: seen.update({name: call[-1]}))
    outputs = outputs_of(module, example)
    return next((name for name, value in seen.items() if value is outputs), "")
