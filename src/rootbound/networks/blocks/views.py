"""The containers of a block: those that hold its own modules, and the views that it runs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from rootbound.networks.blocks.chain import Chain
from rootbound.networks.blocks.stand_ins import (
    Cell,
    Ghost,
    Layer,
    Row,
    make_empty_clone,
    share_parts,
)


@dataclass(frozen=True)
class Share:
    """The part of a network that belongs to a block.

    Args:
        layers: Positions of its layers in the chain.
        begins: Whether everything before the first layer belongs to it.
        ends: Whether everything after the last layer belongs to it.
    """

    layers: range
    begins: bool
    ends: bool


class Views:
    """Makes the containers of a block: those with its own modules, and those to run.

    Args:
        network: The network.
        chain: Its layers.
        share: The part of it that belongs to the block.
        needed: Names of modules that are run for every block.
        ghosts: Stand-ins for modules, by their names; all blocks of a network share them.
    """

    def __init__(
        self,
        network: nn.Module,
        chain: Chain,
        share: Share,
        needed: frozenset[str],
        ghosts: dict[str, Ghost],
    ) -> None:
        self.network, self.chain, self.share, self.needed = network, chain, share, needed
        self.ghosts = ghosts
        self.cell = Cell()
        self.made: list[nn.Module] = []
        self.held: list[nn.Module] = []
        self.own_layers = {chain.names[position] for position in share.layers}

    def make(self, name: str, container: nn.Module) -> tuple[nn.Module, nn.Module]:
        """Return a container with the block's own modules, and the view of it to run."""
        own = make_empty_clone(container)
        view = share_parts(own)
        if self.share.begins:
            own._parameters.update(container._parameters)
            own._buffers.update(container._buffers)
        else:
            view.__dict__["_parameters"] = dict(container._parameters)
            view.__dict__["_buffers"] = dict(container._buffers)
        self.made.append(view)
        for key, part in container._modules.items():
            path = f"{name}.{key}".lstrip(".")
            if part is None:
                own._modules[key] = None
            elif self._is_opened(path):
                in_a_row = isinstance(part, nn.ModuleList) or path == self.chain.container
                make = self._make_row if in_a_row else self.make
                inner, view.__dict__[key] = make(path, part)
                if inner._modules or inner._parameters or inner._buffers:
                    own._modules[key] = inner
            elif self._owns(path):
                own._modules[key] = part
            else:
                view.__dict__[key] = self._stand_in(path, part)
        return own, view

    def _make_row(self, name: str, container: nn.Module) -> tuple[nn.Module, Row]:
        own, others = make_empty_clone(container), {}
        for key, part in container._modules.items():
            path = f"{name}.{key}"
            if path in self.own_layers or (path not in self.chain.names and self._owns(path)):
                own._modules[key] = part
            if path in self.chain.names:
                others[key] = Layer(self.cell, self._make_ghost(path, cast(nn.Module, part)))
            elif not self._owns(path):
                others[key] = self._stand_in(path, cast(nn.Module, part))
        return own, Row(own._modules, others, tuple(container._modules))

    def _is_opened(self, path: str) -> bool:
        """Return whether each part of a module may belong to another block than the others."""
        if f"{self.chain.container}.".startswith(f"{path}."):
            return True
        called = self.chain.earlier | self.chain.later
        return path not in called and self._ran(path, called)

    def _owns(self, path: str) -> bool:
        """Return whether a module that is not a layer belongs to the block."""
        later = self._ran(path, self.chain.later) and not self._ran(path, self.chain.earlier)
        return self.share.ends if later else self.share.begins

    def _ran(self, path: str, names: frozenset[str]) -> bool:
        return any(name == path or name.startswith(f"{path}.") for name in names)

    def _stand_in(self, path: str, part: nn.Module) -> Any:
        if path in self.needed:
            self.held.append(part)
            return part
        if next(part.parameters(), None) is None:
            copied = copy.deepcopy(part).eval()
            self.held.append(copied)
            return copied
        return self._make_ghost(path, part)

    def _make_ghost(self, path: str, part: nn.Module) -> Ghost:
        if path not in self.ghosts:
            self.ghosts[path] = Ghost(part)
        return self.ghosts[path]
