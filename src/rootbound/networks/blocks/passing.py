"""How a network is called, and what goes from one of its blocks to the next."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rootbound.networks.wrapping import require_tensor


class Passing:
    """Passes on the state alone, in a network that takes one tensor and returns one."""

    masked = False

    def __init__(self) -> None:
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}

    def prepare(self, inputs: Tensor) -> Any:
        """Return what the network is given for inputs `(N, *shape)`."""
        return inputs

    def call(self, network: nn.Module, given: Any) -> object:
        """Run the network."""
        outputs: object = network(given)
        return outputs

    def finish(self, outputs: object, given: Any) -> Tensor:
        """Return the features `(N, D)` in what the network returned."""
        return require_tensor(outputs)

    def join(self, state: Tensor, given: Any) -> Tensor:
        """Return what the next block gets."""
        self._shapes[tuple(state.shape[1:])] = tuple(given.shape[1:])
        return state

    def part(self, passed: Tensor) -> tuple[Tensor, Any]:
        """Return the state, and something of the kind of what the network was given."""
        shape = self._shapes.get(tuple(passed.shape[1:]))
        if shape is None:  # of another size than any before: at least the number is known
            shape = next(iter(self._shapes.values()))
        return passed, torch.zeros(1, device=passed.device).expand(len(passed), *shape)
