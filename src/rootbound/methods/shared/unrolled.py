"""Fine-tuning as a differentiable function of the weights that it starts from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from rootbound.data import Batch

Weights = dict[str, Tensor]
InnerOptimiser = Literal["sgd", "adam"]


class Unrolled:
    """A network as a function of its weights, with differentiable gradient steps.

    A loss of the weights after some steps can be differentiated through all of these steps (second
    order), with respect to the initial weights and the learning rate. The network itself stays as
    it is, including the statistics of BatchNorm.

    Args:
        network: Maps inputs `(N, *shape)` to logits `(N, C)`.
    """

    epsilon = 1e-5
    """Adam adds it under the root; near a gradient of 0 its step has a slope of 1 / epsilon."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.buffers = {name: value.clone() for name, value in network.named_buffers()}

    def __call__(self, weights: Weights, inputs: Tensor) -> Tensor:
        """Return the logits under these weights."""
        # Torch's other implementations of attention have no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            logits: Tensor = functional_call(self.network, {**self.buffers, **weights}, (inputs,))
        return logits

    def descend(
        self,
        batches: Iterable[Batch],
        learning_rate: Tensor | float,
        optimiser: InnerOptimiser = "sgd",
    ) -> Iterator[tuple[Weights, list[Tensor]]]:
        """Yield the weights after each step down the cross-entropy, and the step's gradient."""
        named = self.network.named_parameters()
        # Copy, so that the parameters may change before the gradient is taken.
        weights = {name: value.clone() for name, value in named if value.requires_grad}
        adam = Moments(self.epsilon)
        for inputs, labels in batches:
            loss = functional.cross_entropy(self(weights, inputs), labels)
            gradients = torch.autograd.grad(
                loss, list(weights.values()), create_graph=True, materialize_grads=True
            )
            changes = adam(gradients) if optimiser == "adam" else gradients
            moved = zip(weights.items(), changes, strict=True)
            weights = {name: value - learning_rate * change for (name, value), change in moved}
            yield weights, list(gradients)


class Moments:
    """Adam's running moments of the gradients, as differentiable functions of them all."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon
        self.steps = 0
        self.first: list[Tensor] = []
        self.second: list[Tensor] = []

    def __call__(self, gradients: Iterable[Tensor]) -> list[Tensor]:
        """Return the directions of the next step."""
        gradients = list(gradients)
        if not self.steps:
            self.first = self.second = [torch.zeros_like(one) for one in gradients]
        self.steps += 1
        self.first = [
            torch.lerp(old, new, 0.1) for old, new in zip(self.first, gradients, strict=True)
        ]
        squares = [one.square() for one in gradients]
        self.second = [
            torch.lerp(old, new, 0.001) for old, new in zip(self.second, squares, strict=True)
        ]
        scale, bias = 1 - 0.9**self.steps, 1 - 0.999**self.steps
        pairs = zip(self.first, self.second, strict=True)
        return [one / scale / (two / bias + self.epsilon**2).sqrt() for one, two in pairs]
