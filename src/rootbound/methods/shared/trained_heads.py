"""Heads for the undesirable task that keep learning while a defence changes the features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.data import Batch

Readings = Sequence[Tensor]
"""What each head reads, `(N, ...)` each."""


class TrainedHeads:
    """Heads that descend their own cross-entropy, so that they read whatever can be read.

    A defence that also ascended it with the head's weights would only ruin a head that every
    attacker throws away.

    Args:
        widths: Width of what each head reads.
        classes: Classes of the undesirable task.
        rate: Learning rate of Adam.
        hidden: Units of a hidden layer with a ReLU; 0 makes the heads linear.
    """

    def __init__(self, widths: Sequence[int], classes: int, rate: float, hidden: int = 0) -> None:
        self.classes = classes
        self.heads = nn.ModuleList([_make_head(width, classes, hidden) for width in widths])
        self._optimiser = torch.optim.Adam(self.heads.parameters(), rate, fused=True)

    def losses(self, readings: Readings, labels: Tensor) -> Tensor:
        """Return each head's cross-entropy `(heads,)`."""
        return torch.stack(
            [
                functional.cross_entropy(head(reading.flatten(1)), labels)
                for head, reading in zip(self.heads, readings, strict=True)
            ]
        )

    def learn(self, readings: Readings, labels: Tensor, steps: int = 1) -> None:
        """Let every head take some steps on these samples; the readings get no gradient."""
        readings = [reading.detach() for reading in readings]
        for _ in range(steps):
            # The defence's own backward pass has left gradients here too.
            self._optimiser.zero_grad(set_to_none=True)
            self.losses(readings, labels).sum().backward()
            self._optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the heads' weights and the state of their optimiser."""
        return {"heads": self.heads.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a state."""
        self.heads.load_state_dict(state_dict["heads"])
        self._optimiser.load_state_dict(state_dict["optimiser"])

    def learn_all(self, read: Callable[[Tensor], Readings], batches: Iterable[Batch]) -> None:
        """Learn from batches of inputs, read by a network that does not change."""
        for inputs, labels in batches:
            with torch.no_grad():
                readings = read(inputs)
            self.learn(readings, labels)


def _make_head(width: int, classes: int, hidden: int) -> nn.Module:
    if hidden == 0:
        return nn.Linear(width, classes)
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, classes))
