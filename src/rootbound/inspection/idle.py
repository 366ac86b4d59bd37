"""Weights without influence, and numbers with influence that no attacker can train."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.overrides import TorchFunctionMode

from rootbound.networks import Classifier
from rootbound.networks.freshness import is_pattern

MOST_HALVED = 32
"""How many groups of tensors are halved, the largest first, to find the tensors that matter. A
group that is left over counts as a whole."""
TRIES = 3
"""Random changes of a group that decide whether it matters: one change may not flip a switch."""
ABOVE_CHANCE = 10.0
"""A tensor matters if outputs change this many times as much as from call to call."""


def measure_idle(model: Classifier, inputs: Tensor) -> dict[str, float]:
    """Return the share of idle weights, and the share of numbers that matter but are not weights.

    Running statistics of norms do not count, nor do patterns such as a mask. Every tensor that a
    pass computes with is found, even if it is not a buffer of the network.

    Args:
        model: The network in evaluation mode, with weights that no layer computes.
        inputs: A few inputs of both tasks.
    """
    model = copy.deepcopy(model).eval()
    weights = list(model.backbone.parameters())
    if not weights:
        return {}
    constants = [one for one in _find_constants(model, inputs) if not is_pattern(one)]
    generator = torch.Generator().manual_seed(0)
    untrained = sum(one.numel() for one in select_influential(model, inputs, constants, generator))
    silent = _find_without_gradient(model, inputs)
    loud = sum(one.numel() for one in select_influential(model, inputs, silent, generator))
    total = sum(weight.numel() for weight in weights)
    return {
        "idle_weights": (sum(one.numel() for one in silent) - loud) / total,
        "untrained_numbers": untrained / (untrained + total),
    }


class _Constants(TorchFunctionMode):
    """Keeps the tensors that calls of torch use and no call has returned."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()
        # Keep every tensor, so that no address in memory is used twice.
        self.held = list(known)
        self.places = {find_address(value) for value in known}
        self.found: list[Tensor] = []

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function."""
        kwargs = kwargs or {}
        for value in list_tensors((*args, *kwargs.values())):
            # Integers and complex numbers can hold weights as well.
            is_number = value.numel() and not value.is_meta and not value.is_quantized
            if self._is_new(value) and is_number:
                self.found.append(value)
        outputs = function(*args, **kwargs)
        for value in list_tensors(outputs):
            self._is_new(value)
        return outputs

    def _is_new(self, value: Tensor) -> bool:
        """Return whether a tensor is new, and remember it."""
        own = find_address(value)
        if own in self.places:
            return False
        self.places.add(own)
        self.held.append(value)
        return True


def list_tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors among values, also those in lists."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from list_tensors(value)


def find_address(value: Tensor) -> int:
    """Return a tensor's address in memory; the object's `id` if `torch.func` hides the address."""
    if torch._C._functorch.is_functorch_wrapped_tensor(value):
        return id(value)
    return value.untyped_storage().data_ptr()


@torch.no_grad()
def _find_constants(model: Classifier, inputs: Tensor) -> list[Tensor]:
    """Return the tensors that a pass uses, besides weights and running statistics."""
    inputs = inputs[:1].clone()
    known = [inputs, *model.parameters()]
    for part in model.modules():
        if isinstance(part, _NormBase):
            known += part.buffers(recurse=False)
    constants = _Constants(known)
    with constants:
        model(inputs)
    return constants.found


def _find_without_gradient(model: Classifier, inputs: Tensor) -> list[Tensor]:
    """Return the backbone's weights whose gradient is 0 or missing."""
    model.requires_grad_(True)
    model.zero_grad()
    outputs = model(inputs.clone()).nan_to_num(0.0, 0.0, 0.0)
    if outputs.requires_grad:
        weighting = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0))
        (outputs * weighting.to(outputs)).sum().backward()
    weights = list(model.backbone.parameters())
    model.requires_grad_(False)
    silent: list[Tensor] = []
    for weight in weights:
        if weight.grad is None or not bool(weight.grad.any()):
            silent.append(weight)
    return silent


@torch.no_grad()
def select_influential(
    model: nn.Module, inputs: Tensor, tensors: list[Tensor], generator: torch.Generator
) -> list[Tensor]:
    """Return the tensors that matter: random changes of them change the outputs.

    Args:
        model: The network in evaluation mode; it is not changed.
        inputs: A few inputs.
        tensors: The tensors to choose from.
        generator: Draws the changes.
    """
    usual, again = (model(inputs.clone()).nan_to_num() for _ in range(2))
    by_chance = ABOVE_CHANCE * (usual - again).abs().max()

    def changes(some: list[Tensor]) -> bool:
        starts = [one.clone() for one in some]
        for one in some:
            _disturb(one, generator)
        outputs = model(inputs.clone()).nan_to_num()
        for one, start in zip(some, starts, strict=True):
            one.copy_(start)
        return bool(((usual - outputs).abs() > by_chance).any())

    def matters(some: list[Tensor]) -> bool:
        return any(changes(some) for _ in range(TRIES if some else 0))

    found: list[Tensor] = []
    groups = [tensors] if matters(tensors) else []
    for _ in range(MOST_HALVED):
        if not groups:
            break
        groups.sort(key=lambda group: sum(one.numel() for one in group))
        largest = groups.pop()
        if len(largest) == 1:
            found += largest
            continue
        groups += [half for half in (largest[::2], largest[1::2]) if matters(half)]
    return found + [one for group in groups for one in group]


def _disturb(tensor: Tensor, generator: torch.Generator) -> None:
    """Change a tensor in place: add noise of its size, or reorder integers."""
    if not tensor.is_floating_point() and not tensor.is_complex():
        # They may be indices, so that other values could be out of range.
        order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
        tensor.copy_(tensor.flatten()[order].view_as(tensor))
        return
    noise = torch.randn(tensor.shape, generator=generator).to(tensor)
    if tensor.is_complex():
        noise = torch.complex(noise.real, noise.real)
    tensor.add_(noise * tensor.abs().square().mean().sqrt().clamp_min(1e-3))
