"""Gates that are held open, and what passes through the network then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from rootbound.networks import Classifier
from rootbound.networks.calls import Calls
from rootbound.networks.cut_and_fix import Fixed
from rootbound.networks.held import Held


@dataclass(frozen=True, eq=False)
class Gates:
    """Parts of tensors inside a network that are held as they are for desirable inputs.

    Args:
        held: What is held of a tensor, in order, by the number of the call.
        names: Names of the modules or functions that compute each gate.
        shut_out: Share of undesirable inputs that were shut out: with gates closed their features
            equal those of another input or are not finite, and with gates open they do not.
    """

    held: Mapping[int, tuple[Held, ...]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    shut_out: float = 0.0

    def hold_open(self, backbone: nn.Module, *, alike: bool = True) -> nn.Module:
        """Return the backbone with its gates open; itself where there are none.

        Args:
            backbone: The backbone.
            alike: Whether the backbone makes the same calls in train mode.
        """
        return Fixed(backbone, self.held, alike=alike) if self.names else backbone

    def with_more(self, more: Gates) -> Gates:
        """Return both together; the others are held after these.

        Args:
            more: The others.
        """
        held = {
            number: (*self.held.get(number, ()), *more.held.get(number, ()))
            for number in (*self.held, *(one for one in more.held if one not in self.held))
        }
        return Gates(held, tuple(dict.fromkeys((*self.names, *more.names))))


@dataclass(frozen=True, eq=False)
class Watched:
    """A network with the gates that are open so far, and inputs of both tasks that pass through.

    Args:
        model: The network in evaluation mode.
        found: The gates that are open.
        desirable: Inputs `(N, *shape)` of the desirable task.
        undesirable: Inputs of the undesirable task.
        axes: The axis of the samples in tensors whose rows are not samples, by the number of the
            call.
    """

    model: Classifier
    found: Gates
    desirable: Tensor
    undesirable: Tensor
    axes: Mapping[int, int]

    def watch(self, inputs: Tensor, look: Callable[[int, str, Tensor], Tensor]) -> None:
        """Run the backbone with open gates, and call a function on every tensor.

        Args:
            inputs: Inputs `(N, *shape)`.
            look: Takes a call's number, its name and what it returned, and returns a replacement.
        """
        fixed = Fixed(self.model.backbone, self.found.held)
        watching = Calls(lambda number, name, tensor: look(number, name, fixed.fix(number, tensor)))
        with watching, fixed.passing(inputs):
            self.model.backbone(inputs)

    def take_rows(self, number: int, tensor: Tensor, samples: int, most: int) -> Tensor | None:
        """Return a tensor as rows `(N, D)` of finite numbers; None where that is impossible.

        Args:
            number: The number of the call that returned it.
            tensor: The tensor.
            samples: How many samples there are.
            most: Most numbers for each sample.
        """
        axis = self.axes.get(number, 0)
        if not tensor.is_floating_point() or not tensor.numel() or tensor.dim() <= axis:
            return None
        if tensor.shape[axis] != samples or tensor.numel() > samples * most:
            return None
        rows = tensor.detach().movedim(axis, 0).reshape(samples, -1)
        return rows if bool(rows.isfinite().all()) else None


def take_evenly(rows: Tensor, most: int) -> Tensor:
    """Return at most some rows, evenly spaced, because they may be sorted by class.

    Args:
        rows: Samples `(N, …)`.
        most: The most that are returned.
    """
    spaced = torch.linspace(0, len(rows) - 1, min(most, len(rows)))
    return rows[spaced.round().long()]
