"""Where a probe reads a network: at which block, and on which side of its activation."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from rootbound.core.fields import NonNegativeInt, check
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import bag_tokens, pool_outputs
from rootbound.networks.layers import find_activations, run_with_preactivation


@dataclass(frozen=True)
class Reading:
    """A place in a network.

    Args:
        blocks_before_last: 0 for the features that the head reads, 1 for the outputs of the
            block before, and so on to the input itself; `all` for every block's together.
        side: `after` the block's last activation, or `before` it.

    Raises:
        InputError: a block after the last.
    """

    blocks_before_last: NonNegativeInt | Literal["all"] = 0
    side: Literal["after", "before"] = "after"

    def __post_init__(self) -> None:
        check(self)

    @property
    def is_last(self) -> bool:
        """Whether this is where the model's own head reads."""
        return self == Reading()

    def __str__(self) -> str:
        """Return the place in words."""
        if self.blocks_before_last == "all":
            place = "all blocks"
        elif self.blocks_before_last == 0:
            place = "the last block"
        else:
            place = f"{self.blocks_before_last} before the last block"
        return place if self.side == "after" else f"{place}, before activation"

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the network has this place (the input counts as a block)."""
        if self.side == "before":
            positions = self._positions(model)
            return bool(positions) and all(find_activations(model.blocks[i]) for i in positions)
        return self.blocks_before_last == "all" or self.blocks_before_last <= len(model.blocks)

    def _positions(self, model: Classifier) -> list[int]:
        """Return the blocks that are read, counted from the first."""
        count = len(model.blocks)
        if self.blocks_before_last == "all":
            return list(range(count))
        position = count - 1 - self.blocks_before_last
        return [position] if position >= 0 else []

    def readout(self, model: Classifier) -> nn.Module:
        """Return a frozen network that maps inputs to features `(N, D)` at this place."""
        if self.is_last:
            return model.split(0)[0]
        return _Readout(copy.deepcopy(model), self._positions(model), self.side)


class _Readout(nn.Module):
    """A network that ends in the outputs of some blocks; of none, it passes its input on."""

    def __init__(self, model: Classifier, positions: list[int], side: str) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(model.blocks[: max(positions, default=-1) + 1])
        self.positions = positions
        self.before = side == "before"
        self.eval().requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return features `(N, D)`."""
        outputs, found = inputs, []
        for position, block in enumerate(self.blocks):
            wanted = position in self.positions
            if wanted and self.before:
                outputs, value = run_with_preactivation(block, outputs)
            else:
                outputs = value = block(outputs)
            if wanted:
                # A copy, because the next block may work in place.
                found.append(pool_outputs(block, value).clone())
        if found:
            return torch.cat(found, dim=1)
        return inputs.flatten(1) if inputs.is_floating_point() else bag_tokens(inputs)
