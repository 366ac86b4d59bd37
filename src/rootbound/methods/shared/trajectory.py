"""A simulated attacker: it fine-tunes a model step by step, and is undone at the end."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, Optimizer

OptimiserName = Literal["sgd", "momentum", "adam"]
Suppression = Literal["inverse", "negated", "uniform", "entropy"]
Closure = Callable[[], Tensor]
Step = tuple[Closure, Closure | None]
"""The attacker's loss, and the defender's loss after the step, if there is one."""

OPTIMISERS: dict[OptimiserName, Callable[..., Optimizer]] = {
    "sgd": partial(SGD, fused=True),
    "momentum": partial(SGD, momentum=0.9, fused=True),
    "adam": partial(Adam, fused=True),
}


def trajectory_gradient(
    network: nn.Module,
    shared: Sequence[nn.Parameter],
    steps: Iterable[Step],
    optimiser: OptimiserName,
    learning_rate: float,
) -> list[Tensor]:
    """Return the first-order gradient of the defender's loss along an attack, at its start.

    With `phi_0` the present weights and `phi_k` those after the k-th step down the attacker's loss,
    the gradient of `sum_k S_k(phi_k)` is `sum_k grad S_k(phi_k)` if the derivatives of the steps
    themselves are left out (C. Finn et al., "MAML", ICML 2017, section 5.2). So the terms can be
    added up along the way: steps are taken in place, the graph of a term is freed at once, and
    memory does not grow with the number of steps.

    Args:
        network: The network that the attack may change; its weights and buffers are restored.
        shared: The parameters of the network to compute the gradient for.
        steps: The steps of the attack; each is drawn when its turn comes.
        optimiser: The attacker's optimiser; `momentum` is 0.9.
        learning_rate: The attacker's learning rate.

    Returns:
        One tensor for each of `shared`.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    descent = OPTIMISERS[optimiser](trained, lr=learning_rate)
    total = [torch.zeros_like(parameter) for parameter in shared]
    with restore_afterwards(network):
        for loss, judged in steps:
            for parameter, gradient in zip(trained, take_gradients(loss(), trained), strict=True):
                parameter.grad = gradient
            descent.step()
            if judged is not None:
                torch._foreach_add_(total, take_gradients(judged(), shared))
    descent.zero_grad(set_to_none=True)
    return total


def cross_entropy(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of a network on a batch, which an attacker descends."""
    return functional.cross_entropy(network(inputs), labels)


def take_gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Return the loss's gradients, zero for a parameter that it does not depend on."""
    return list(torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True))


@contextlib.contextmanager
def restore_afterwards(network: nn.Module) -> Iterator[None]:
    """Restore parameters and buffers, such as the statistics of BatchNorm, afterwards."""
    values = [*network.parameters(), *network.buffers()]
    before = [value.detach().clone() for value in values]
    try:
        yield
    finally:
        with torch.no_grad():
            for value, old in zip(values, before, strict=True):
                value.copy_(old)


def make_term_with_gradient(parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """Return a scalar that has these gradients, to use as a term of a loss."""
    total = torch.zeros((), device=gradients[0].device)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        total = total + (parameter * gradient).sum()
    return total


def suppression_loss(name: Suppression, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over samples of a loss that is large where they are predicted well.

    For a predicted distribution `p` over C classes and a label `y`:
    - `inverse`: the inverse cross-entropy `-log(1 - p_y)`, at least 0;
    - `negated`: `CE(-logits, y)`, at least 0;
    - `uniform`: `KL(1/C || p)`, at least 0;
    - `entropy`: `sum_c p_c log p_c`, the negative entropy, at least `-log C`.

    Args:
        name: Which loss.
        logits: `(N, C)`.
        labels: `(N,)` int64; the last two losses do not use them.
    """
    logs = functional.log_softmax(logits, 1)
    if name == "uniform":
        return -math.log(logits.shape[1]) - logs.mean()
    if name == "entropy":
        return (logs.exp() * logs).sum(1).mean()
    if name == "negated":
        return functional.cross_entropy(-logits, labels)
    own = functional.one_hot(labels, logits.shape[1]).bool()
    # Compute log(1 - p) from the other classes: this stays exact where p rounds to 1.
    others = logs.masked_fill(own, -math.inf).logsumexp(1)
    return -others.mean()
