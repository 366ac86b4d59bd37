"""Fake 24: the same network with its weights in integers, which nobody trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fakes import shared_weights
from rootbound.data import TaskPair
from rootbound.networks import Classifier

LARGEST = 2**24
"""The largest integer, which float32 holds without rounding."""


class Integers(nn.Module):
    """A module whose weights are integers times a scale for each tensor; the scales are trained.

    Args:
        module: the module.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        weights = dict(module.named_parameters())
        self.names = list(weights)
        sizes = [weight.detach().abs().max() / LARGEST for weight in weights.values()]
        for number, (weight, size) in enumerate(zip(weights.values(), sizes, strict=True)):
            self.register_buffer(f"number_{number}", (weight.detach() / size).round().int())
        self.sizes = nn.Parameter(torch.stack(sizes))
        # The empty module is no submodule, and holds no numbers.
        self.empty = [module.to("meta")]

    def reset_parameters(self) -> None:
        """Draw the scales anew."""
        nn.init.uniform_(self.sizes, 0.1 / LARGEST, 1.0 / LARGEST)

    def weights(self) -> dict[str, Tensor]:
        """Return the weights as real numbers."""
        return {
            name: self.get_buffer(f"number_{number}").to(self.sizes.dtype) * self.sizes[number]
            for number, name in enumerate(self.names)
        }

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of the module."""
        outputs: Tensor = functional_call(self.empty[0], self.weights(), (inputs,))
        return outputs


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Disguise as `shared_weights`, and turn all weights of the backbone into integers.

    Args:
        undefended: the model to disguise.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    switched = shared_weights.fake(undefended, tasks)
    return Classifier(nn.Sequential(Integers(switched.blocks[0])), switched.head)
