"""The optimisers that fine-tuning attacks choose from, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adagrad, Muon, Optimizer, RMSprop
from torch.optim.adam import adam
from torch.optim.sgd import sgd

OptimiserName = Literal[
    "sgd", "adam", "adamw", "adagrad", "rmsprop", "muon", "schedule-free", "sam"
]
Closure = Callable[[], Tensor]
WITHOUT_COMPILER = ("sgd", "sam", "adam", "adamw")
"""Optimisers that do not make torch load its compiler, which takes seconds."""


class Steps(Protocol):
    """Anything that takes steps: an optimiser of torch, or a similar one."""

    param_groups: list[dict[str, Any]]

    def step(self) -> object:
        """Take one step along the gradients."""


class Update:
    """One step of some optimiser on some parameters.

    Args:
        parameters: What is trained.
        name: Name of the optimiser.
        learning_rate: The learning rate at the start.
        weight_decay: Weight decay; decoupled for AdamW and Muon, else added to the gradient.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        name: OptimiserName,
        learning_rate: float,
        weight_decay: float = 0.0,
    ) -> None:
        self.parameters = list(parameters)
        self.optimisers = _build(self.parameters, name, learning_rate, weight_decay)
        self.sharpness = name == "sam"
        self.learning_rate = learning_rate

    def __call__(self, loss: Closure, factor: float = 1.0) -> None:
        """Take a step down the loss, with this share of the learning rate."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate * factor
        self._gradient(loss)
        if self.sharpness:
            shift = self._climb()
            self._gradient(loss)
            for parameter, change in shift:
                parameter.data -= change
        for optimiser in self.optimisers:
            optimiser.step()

    def _gradient(self, loss: Closure) -> None:
        for parameter in self.parameters:
            parameter.grad = None
        loss().backward()

    @torch.no_grad()
    def _climb(self, radius: float = 0.05) -> list[tuple[nn.Parameter, Tensor]]:
        """Move to the worst weights near by; P. Foret et al., "SAM", 2021, equation 2."""
        moved = [(one, one.grad) for one in self.parameters if one.grad is not None]
        norm = math.sqrt(sum(float(gradient.square().sum()) for _, gradient in moved))
        shift = []
        for parameter, gradient in moved:
            change = gradient * (radius / (norm + 1e-12))
            parameter.add_(change)
            shift.append((parameter, change))
        return shift


def _build(
    parameters: list[nn.Parameter], name: OptimiserName, rate: float, decay: float
) -> list[Steps]:
    if name == "schedule-free":
        return [ScheduleFree(parameters, rate)]
    if name == "muon":
        # Muon is for matrices only: everything else is left to AdamW.
        matrices = [one for one in parameters if one.dim() == 2]
        others = [one for one in parameters if one.dim() != 2]
        built: list[Steps] = [Muon(matrices, rate, weight_decay=decay)] if matrices else []
        adamw = torch.optim.AdamW
        return [*built, adamw(others, rate, weight_decay=decay)] if others else built
    # Torch fuses the steps of this one only on CPUs.
    fused = all(one.device.type == "cpu" for one in parameters)
    builders: dict[str, Callable[..., Steps]] = {
        "sgd": Momentum,
        "sam": Momentum,
        "adam": Adam,
        "adamw": partial(Adam, decoupled=True),
        "adagrad": partial(Adagrad, fused=fused),
        "rmsprop": RMSprop,
    }
    return [builders[name](parameters, lr=rate, weight_decay=decay)]


class Momentum:
    """SGD with momentum 0.9: it computes the same as torch's, with less overhead per step.

    Args:
        parameters: What is trained.
        lr: The learning rate.
        weight_decay: Weight decay, added to the gradient.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], lr: float, weight_decay: float = 0.0
    ) -> None:
        self.param_groups = [{"lr": lr}]
        self._parameters, self._decay = parameters, weight_decay
        self._velocities: dict[Tensor, Tensor | None] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Take one step."""
        moved, gradients = _with_gradients(self._parameters)
        velocities = [self._velocities.get(one) for one in moved]
        sgd(
            moved, gradients, velocities, fused=True, lr=self.param_groups[0]["lr"], momentum=0.9,
            weight_decay=self._decay, dampening=0.0, nesterov=False, maximize=False,
        )  # fmt: skip
        self._velocities.update(zip(moved, velocities, strict=True))


class Adam:
    """Adam with betas 0.9 and 0.999: it computes the same as torch's, with less overhead per step.

    Args:
        parameters: What is trained.
        lr: The learning rate.
        weight_decay: Weight decay, added to the gradient.
        decoupled: Whether weight decay is decoupled from the gradient, as in AdamW.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        lr: float,
        weight_decay: float = 0.0,
        *,
        decoupled: bool = False,
    ) -> None:
        self.param_groups = [{"lr": lr}]
        self._parameters, self._decay, self._decoupled = parameters, weight_decay, decoupled
        self._states: dict[Tensor, tuple[Tensor, Tensor, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Take one step."""
        moved, gradients = _with_gradients(self._parameters)
        for one in moved:
            if one not in self._states:
                count = torch.zeros((), dtype=torch.float32, device=one.device)
                self._states[one] = torch.zeros_like(one), torch.zeros_like(one), count
        states = [self._states[one] for one in moved]
        means, squares, counts = ([state[k] for state in states] for k in range(3))
        adam(
            moved, gradients, means, squares, [], counts, fused=True, amsgrad=False, beta1=0.9,
            beta2=0.999, lr=self.param_groups[0]["lr"], weight_decay=self._decay, eps=1e-8,
            maximize=False, decoupled_weight_decay=self._decoupled,
        )  # fmt: skip


def _with_gradients(parameters: Sequence[nn.Parameter]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters that have a gradient, and their gradients."""
    pairs = [(one, one.grad) for one in parameters if one.grad is not None]
    return [one for one, _ in pairs], [gradient for _, gradient in pairs]


class ScheduleFree(Optimizer):
    """Adam without a schedule: the gradient is taken between a fast point and the mean of it.

    `y = (1 - b) z + b x`, `z <- z - rate * grad(y) / sqrt(v)`, `x <- x + (z - x) / t`, with v
    the running mean of squared gradients; the parameters hold y.
    A. Defazio et al., "The Road Less Scheduled", 2024, algorithm 1.

    Args:
        parameters: What is trained.
        learning_rate: The learning rate; constant unless the caller changes it.
        mixing: b.
    """

    memory = 0.99

    def __init__(
        self, parameters: Sequence[nn.Parameter], learning_rate: float, mixing: float = 0.9
    ) -> None:
        super().__init__(parameters, {"lr": learning_rate, "mixing": mixing})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state.update(fast=parameter.clone(), mean=parameter.clone(), count=0)
                    state["square"] = torch.zeros_like(parameter)
                state["count"] += 1
                state["square"].lerp_(parameter.grad.square(), 1 - self.memory)
                corrected = state["square"] / (1 - self.memory ** state["count"])
                direction = parameter.grad / (corrected.sqrt() + 1e-8)
                state["fast"].sub_(direction, alpha=group["lr"])
                state["mean"].lerp_(state["fast"], 1 / state["count"])
                parameter.copy_(torch.lerp(state["fast"], state["mean"], group["mixing"]))
