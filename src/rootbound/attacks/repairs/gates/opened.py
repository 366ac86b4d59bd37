"""Gates that are held open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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


def watch_opened(
    model: Classifier, found: Gates, inputs: Tensor, watch: Callable[[int, str, Tensor], Tensor]
) -> None:
    """Run the backbone with the present gates open, and call a function on every tensor.

    Args:
        model: The network.
        found: The present gates.
        inputs: Inputs `(N, *shape)`.
        watch: Takes a call's number, its name and what it returned, and returns a replacement.
    """
    fixed = Fixed(model.backbone, found.held)
    watching = Calls(lambda number, name, tensor: watch(number, name, fixed.fix(number, tensor)))
    with watching, fixed.passing(inputs):
        model.backbone(inputs)
