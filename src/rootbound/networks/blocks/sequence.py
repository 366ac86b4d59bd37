"""A network as a sequence of blocks that together compute the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

MOST_BLOCKS = 16
"""Largest number of blocks that a network is cut into."""


class Block(nn.Module):
    """A part of a network. Its modules are in `network`, under their names in the whole network.

    Args:
        network: The modules of this part alone, in containers that have the network's names.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def __getattr__(self, name: str) -> Any:
        """Return weight or bias of the layer, if the block has a single one."""
        if name in ("weight", "bias") and "network" in self._modules:
            layers = [part for part in self.network.modules() if part._parameters]
            layers = [part for part in layers if not isinstance(part, ParametrizationList)]
            if len(layers) == 1:
                return getattr(layers[0], name)
        return super().__getattr__(name)


class BlockSequence(nn.Sequential):
    """The blocks of a network, in order. It keeps the network itself, to return it later.

    Args:
        blocks: The blocks, which hold every module with weights that the network uses.
        network: The network, with an identity in place of its head.
    """

    def __init__(self, blocks: Sequence[Block], network: nn.Module) -> None:
        super().__init__(*blocks)
        # A tuple hides the network from torch: its modules are those of the blocks already.
        self._whole = (network,)

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield parameters and buffers under the network's own names, shared ones once."""
        for block in cast("Iterator[Block]", iter(self)):
            yield from block.network.named_parameters()
            yield from block.network.named_buffers()

    def give_back(self) -> nn.Module:
        """Return the network itself, with the weights and layers that the blocks have now."""
        (network,) = self._whole
        for block in cast("Iterator[Block]", iter(self)):
            _give(block.network, network)
        return network.train(self.training)


def _give(part: nn.Module, own: nn.Module) -> None:
    """Give what is in a part of a block to the network's own module of that name."""
    own._parameters.update(part._parameters)
    own._buffers.update(part._buffers)
    for name, inner in part._modules.items():
        theirs = own._modules.get(name)
        if inner is None or inner is theirs:
            continue
        if theirs is not None and type(inner) in (nn.Module, type(theirs)):
            _give(inner, theirs)
        else:
            own._modules[name] = inner  # a method has put another layer in its place
