"""Networks that are cut at one of their calls, or in which parts of some tensors are held."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn

from rootbound.networks.calls import Calls, detach_buffers_afterwards
from rootbound.networks.held import INPUTS, Held, HeldAsBefore
from rootbound.networks.sample_axis import SampleAxis


def makes_same_calls(network: nn.Module, inputs: Tensor) -> bool:
    """Return whether a network makes the same calls in train mode as in evaluation mode.

    With stochastic depth, for example, it does not; then a number names another tensor.
    """
    courses: list[list[str]] = [[], []]
    for mode, names in zip((True, False), courses, strict=True):

        def note(_: int, name: str, tensor: Tensor, names: list[str] = names) -> Tensor:
            names.append(name)
            return tensor

        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]), Calls(note):
                copy.deepcopy(network).train(mode)(inputs.clone())
        except Exception:  # it is the user's code, and may fail in train mode
            return False
    return courses[0] == courses[1]


class _ChangedInside(nn.Module):
    """A network that is changed at some of its calls, numbered as in evaluation mode.

    Args:
        network: The network.
        alike: Whether it makes the same calls in train mode; if not, it stays in evaluation mode.
    """

    def __init__(self, network: nn.Module, *, alike: bool) -> None:
        super().__init__()
        self.network, self.alike = network, alike

    def train(self, mode: bool = True) -> Self:
        """Set the mode."""
        super().train(mode)
        if not self.alike:
            self.network.eval()
        return self


class Fixed(_ChangedInside):
    """A network in which parts of some tensors inside are held at given values.

    Args:
        network: The network.
        held: What changes a tensor, by the number of the call, applied in order.
        alike: Whether the network makes the same calls in train mode.
    """

    def __init__(
        self,
        network: nn.Module,
        held: Mapping[int, Sequence[Held]],
        *,
        alike: bool = True,
    ) -> None:
        super().__init__(network, alike=alike)
        self.held = nn.ModuleDict({str(at): nn.ModuleList(parts) for at, parts in held.items()})
        every = (part for parts in held.values() for part in parts)
        self.sources = {part.source for part in every if isinstance(part, HeldAsBefore)}
        self.earlier: dict[int, Tensor] = {}

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of the network."""
        fixing = Calls(lambda number, _, tensor: self.fix(number, tensor))
        with fixing, detach_buffers_afterwards(self.network), self.passing(inputs):
            outputs: Tensor = self.network(inputs)
        return outputs

    @contextlib.contextmanager
    def passing(self, inputs: Tensor) -> Iterator[None]:
        """Keep what replaces later tensors, during one forward pass.

        Args:
            inputs: The inputs of this pass.
        """
        self.earlier = {INPUTS: inputs}
        try:
            yield
        finally:
            self.earlier = {}

    def fix(self, number: int, tensor: Tensor) -> Tensor:
        """Return a tensor with what is held of it replaced, or itself if nothing is."""
        if str(number) in self.held:
            for part in cast(nn.ModuleList, self.held[str(number)]):
                if isinstance(part, HeldAsBefore):
                    tensor = part(tensor, self.earlier.get(part.source))
                else:
                    tensor = part(tensor)
        if number in self.sources:
            self.earlier[number] = tensor.clone()  # its values may be changed in place later
        return tensor


class Cut(_ChangedInside):
    """A network up to one call inside, whose outputs are averaged over a grid of positions.

    Args:
        network: The network.
        number: Number of the call.
        pool: Turns what the call returns into features `(N, D)`.
        alike: Whether the network makes the same calls in train mode.
        samples: The axis of its samples, if they are not its rows.
    """

    def __init__(
        self,
        network: nn.Module,
        number: int,
        pool: Callable[[Tensor], Tensor],
        *,
        alike: bool = True,
        samples: SampleAxis | None = None,
    ) -> None:
        super().__init__(network, alike=alike)
        self.number = number
        self.pool = pool
        self.samples = samples

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features."""

        def stop(number: int, _: str, tensor: Tensor) -> Tensor:
            if number == self.number:
                raise _Reached(tensor)
            return tensor

        try:
            with Calls(stop), detach_buffers_afterwards(self.network):
                self.network(inputs)
        except _Reached as reached:
            tensor = reached.tensor
            rows = self.samples.put_first(tensor, len(inputs)) if self.samples else tensor
            if rows is not None:
                return self.pool(rows)
        raise RuntimeError(f"call {self.number} was not made: the network made other calls")


class _Reached(BaseException):
    """The call was made. No code of the network should catch this as one of its own errors."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__()
        self.tensor = tensor
