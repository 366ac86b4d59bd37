"""How a network is called, and what its blocks pass on to each other."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from rootbound.data import PADDING
from rootbound.networks.block_outputs import join_mask, split_mask, trim_padding
from rootbound.networks.wrapping import require_tensor


class Passing:
    """Passes on only the state, in a network that takes one tensor."""

    masked = False

    def __init__(self) -> None:
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}

    def prepare(self, inputs: Tensor) -> Any:
        """Return the network's arguments for inputs `(N, *shape)`."""
        return inputs

    def call(self, network: nn.Module, given: Any) -> object:
        """Run the network."""
        outputs: object = network(given)
        return outputs

    def finish(self, outputs: object, given: Any) -> Tensor:
        """Return the logits that the network returned, or features where it has no head."""
        return require_tensor(getattr(outputs, "logits", outputs))

    def join(self, state: Tensor, given: Any) -> Tensor:
        """Return the input of the next block."""
        self._shapes[tuple(state.shape[1:])] = tuple(given.shape[1:])
        return state

    def find_state(self, passed: Tensor) -> Tensor:
        """Return the state in the input of a block."""
        return passed

    def imagine(self, passed: Tensor) -> Any:
        """Return dummy arguments of the network that fit the input of a block."""
        shape = self._shapes.get(tuple(passed.shape[1:]))
        if shape is None:  # no input of this size was seen: only the number of samples is known
            shape = next(iter(self._shapes.values()))
        return torch.zeros(1, device=passed.device).expand(len(passed), *shape)

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        """Return the same object, because shapes that it has seen hold for all copies."""
        return self


class MaskedPassing(Passing):
    """Passes on the states of tokens with their mask; the network takes tokens and mask."""

    masked = True

    def prepare(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens `(N, L)` and their mask, without columns of padding alone."""
        return trim_padding(inputs)

    def join(self, state: Tensor, given: tuple[Tensor, Tensor]) -> Tensor:
        """Return states and mask, as `join_mask` does."""
        return join_mask(state, given[1])

    def find_state(self, passed: Tensor) -> Tensor:
        """Return the states."""
        # Contiguous, as in the network itself: sums in another order are rounded differently.
        return passed[..., :-1].contiguous()

    def imagine(self, passed: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens with the same mask, and the mask."""
        _, mask = split_mask(passed)
        return torch.where(mask, 1, PADDING), mask
