"""Stand-ins without weights, with which a network runs although some of its parts are missing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

Script = Callable[[tuple[Any, ...], dict[str, Any]], object]
"""A function that is run when a network calls its next layer."""


class Ghost:
    """Stands in for a module: returns zeros of the shape that the module would return.

    Args:
        module: The module; a copy without memory is kept, to find out the shape.
    """

    def __init__(self, module: nn.Module) -> None:
        memory: dict[int, Any] = {
            id(value): nn.Parameter(torch.empty_like(value, device="meta"), value.requires_grad)
            if isinstance(value, nn.Parameter)
            else torch.empty_like(value, device="meta")
            for value in (*module.parameters(), *module.buffers())
        }
        self.module = copy.deepcopy(module, memory).eval()
        self._known: dict[object, object] = {}

    def __call__(self, *arguments: Any, **named: Any) -> object:
        """Return zeros on the device of the arguments."""
        leaves, _ = tree_flatten((arguments, named))
        tensors = [one for one in leaves if isinstance(one, Tensor)]
        described = str([tuple(one.shape) if isinstance(one, Tensor) else one for one in leaves])
        if described not in self._known:
            # Find out the shape only once, because torch is slow at that.
            positional, by_name = tree_map(self._without_memory, (arguments, named))
            with torch.no_grad(), torch.device("meta"):
                self._known[described] = self.module(*positional, **by_name)
        device = tensors[0].device if tensors else None
        return tree_map(lambda one: _make_zeros(one, device), self._known[described])

    def _without_memory(self, value: object) -> object:
        """Return a tensor of the same shape, in the precision that the module has."""
        if not isinstance(value, Tensor):
            return value
        own = next(one.dtype for one in self.module.parameters())
        return value.to("meta", own if value.is_floating_point() else value.dtype)

    def __getattr__(self, name: str) -> Any:
        """Return the module's attribute of that name."""
        if name.startswith("_") or name == "module":
            raise AttributeError(name)
        return getattr(self.module, name)

    def __deepcopy__(self, _: dict[int, Any]) -> Ghost:
        """Return the same object, because it never changes."""
        return self


class Cell:
    """Holds the script of the current run."""

    def __init__(self) -> None:
        self.script: Script | None = None


class Layer:
    """Stands in for a layer: runs the current script.

    Args:
        cell: Holds the script.
        ghost: Provides the layer's attributes.
    """

    def __init__(self, cell: Cell, ghost: Ghost) -> None:
        self.cell, self.ghost = cell, ghost

    def __call__(self, *arguments: Any, **named: Any) -> object:
        """Return what the script returns."""
        assert self.cell.script is not None, "the network is run by a block alone"
        return self.cell.script(arguments, named)

    def __getattr__(self, name: str) -> Any:
        """Return the layer's attribute of that name."""
        if name.startswith("_") or name in ("cell", "ghost"):
            raise AttributeError(name)
        return getattr(self.ghost, name)

    def __deepcopy__(self, memory: dict[int, Any]) -> Layer:
        """Return a copy, made by hand because a network has many: the square of its layers."""
        return Layer(copy.deepcopy(self.cell, memory), self.ghost)


class Row:
    """Stands in for a `ModuleList` or a `Sequential` that holds layers.

    Args:
        modules: The modules of the container that belong to the block, by name.
        others: Stand-ins for the others, by name.
        names: All names, in order.
    """

    def __init__(
        self, modules: Mapping[str, Any], others: Mapping[str, Any], names: tuple[str, ...]
    ) -> None:
        self.modules, self.others, self.names = modules, others, names

    def __iter__(self) -> Iterator[Any]:
        """Yield the modules, or their stand-ins."""
        for name in self.names:
            yield self.others[name] if name in self.others else self.modules[name]

    def __len__(self) -> int:
        """Return their number."""
        return len(self.names)

    def __getitem__(self, index: int | slice) -> Any:
        """Return one of them, or a list."""
        return list(self)[index]

    def __call__(self, inputs: Any) -> Any:
        """Run one after another, as a `Sequential` does."""
        for part in self:
            inputs = part(inputs)
        return inputs


def make_empty_clone(module: nn.Module) -> nn.Module:
    """Return a module of the same class and settings, without parameters, buffers and parts."""
    clone = module.__new__(type(module))
    clone.__dict__.update(module.__dict__)
    for name in ("_parameters", "_buffers", "_modules"):
        clone.__dict__[name] = {}
    return clone


def share_parts(module: nn.Module) -> nn.Module:
    """Return another module that shares the parts of this one, but not its attributes."""
    clone = module.__new__(type(module))
    clone.__dict__.update(module.__dict__)
    return clone


def _make_zeros(value: object, device: torch.device | None) -> object:
    if not isinstance(value, Tensor):
        return value
    return torch.zeros(value.shape, dtype=value.dtype, device=device)


def replace_within(network: nn.Module, name: str, part: nn.Module) -> nn.Module:
    """Return the network with another part of that name; the network itself stays as it is.

    All other parts are shared, except for the containers of that one.
    """
    first, _, rest = name.partition(".")
    clone = share_parts(network)
    clone.__dict__["_modules"] = dict(network._modules)
    own = network.get_submodule(first)
    clone._modules[first] = replace_within(own, rest, part) if rest else part
    return clone
