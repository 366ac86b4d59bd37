"""Where a probe reads a network, and what all probes share."""

from __future__ import annotations

import copy
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from rootbound.attacks.base import Attack
from rootbound.attacks.probes.convolutions import Convolutions
from rootbound.core.fields import NonNegativeInt, check
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import bag_tokens, pool_outputs
from rootbound.networks.layers import find_activations, run_with_preactivation
from rootbound.records import Tier


@dataclass(frozen=True)
class Reading:
    """The block, and the side of its activation, where a probe reads a network.

    Args:
        blocks_before_last: 0 for the features that the head reads, 1 for the outputs of the block
            before, and so on to the input itself; `all` for those of all blocks together.
        side: `after` the block's last activation, or `before` it.

    Raises:
        InputError: The block would be after the last.
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
        """Return the reading in words."""
        if self.blocks_before_last == "all":
            name = "all blocks"
        elif self.blocks_before_last == 0:
            name = "the last block"
        else:
            name = f"{self.blocks_before_last} before the last block"
        return name if self.side == "after" else f"{name}, before activation"

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the network can be read there (the input counts as a block)."""
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

    def readout(self, model: Classifier, samples: Data | None = None) -> nn.Module:
        """Return a frozen network that maps inputs to features `(N, D)` at the reading.

        Args:
            model: The network that is read; it is not changed.
            samples: Not used; other readings need some.
        """
        if self.is_last:
            return model.split(0)[0]
        return _Readout(copy.deepcopy(model), self._positions(model), self.side)


class _Readout(nn.Module):
    """A network that returns the outputs of some blocks, or its inputs if there are none."""

    def __init__(self, model: Classifier, positions: list[int], side: str) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(model.blocks[: max(positions, default=-1) + 1])
        self.positions = positions
        self.before = side == "before"
        self.eval().requires_grad_(False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return features `(N, D)`."""
        outputs, features = inputs, []
        for position, block in enumerate(self.blocks):
            is_read = position in self.positions
            if is_read and self.before:
                outputs, value = run_with_preactivation(block, outputs)
            else:
                outputs = value = block(outputs)
            if is_read:
                # A copy, because the next block may work in place.
                features.append(pool_outputs(block, value).clone())
        if features:
            return torch.cat(features, dim=1)
        return inputs.flatten(1) if inputs.is_floating_point() else bag_tokens(inputs)


@dataclass(frozen=True)
class Probe(Attack):
    """Fit a new classifier to frozen features `(N, D)`; subclasses write how.

    Args:
        reading: Where the features are read, or through which random convolutions.
    """

    tier: ClassVar[Tier] = "probe"

    reading: Reading | Convolutions = field(default=Reading(), kw_only=True)

    @property
    def loads_compiler(self) -> bool:
        """False: it never loads torch's compiler."""
        return False

    @property
    def family(self) -> str:
        """Where the network is read."""
        return f"probe, {self.reading}"

    def trained_blocks(self, model: Classifier) -> int:
        """Return 0: the network is frozen."""
        return 0

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the network can be read there."""
        return self.reading.applies_to(model)

    def cut_key(self, model: Classifier) -> Hashable:
        """Return the reading, or 0 where the model's own head reads."""
        return 0 if self.reading.is_last else self.reading

    def cut(self, model: Classifier, samples: Data) -> tuple[nn.Module, Classifier]:
        """Return the network up to the reading, and a head on the features there."""
        readout = self.reading.readout(model, samples)
        with torch.no_grad():
            width = readout(samples.batch(slice(0, 1))[0]).shape[1]
        head = nn.utils.skip_init(nn.Linear, width, model.classes, device=model.head.weight.device)
        return readout, Classifier(nn.Sequential(), head)
