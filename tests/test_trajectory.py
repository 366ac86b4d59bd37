"""Gradients through an attacker's steps, against kept graphs and finite differences."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from rootbound.data import Batch
from rootbound.methods.shared.trajectory import (
    OptimiserName,
    Step,
    make_term_with_gradient,
    restore_afterwards,
    suppression_loss,
    trajectory_gradient,
)
from rootbound.methods.shared.unrolled import InnerOptimiser, Unrolled
from rootbound.networks import Classifier
from smooth import cross_entropy, same, small_batches, small_network, state


def entropy_of(network: nn.Module, batch: Batch) -> Tensor:
    return suppression_loss("entropy", network(batch[0]), batch[1])


def played(network: nn.Module, batches: list[Batch], every: int = 1) -> Iterator[Step]:
    for step, batch in enumerate(batches, start=1):
        judged = partial(entropy_of, network, batches[-step]) if step % every == 0 else None
        yield partial(cross_entropy, network, batch), judged


def zeros(weights: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(value) for name, value in weights.items()}


def kept_graphs(
    network: Classifier, batches: list[Batch], optimiser: OptimiserName, rate: float, every: int
) -> list[Tensor]:
    """Keep the whole way: weights are the start's plus constants, one backward at the end."""
    start = dict(network.named_parameters())
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    run = lambda weights, inputs: functional_call(network, (weights, buffers), (inputs,))  # noqa: E731
    now: dict[str, Tensor] = {**start}
    first, second, total = zeros(start), zeros(start), torch.zeros(())
    for step, (inputs, labels) in enumerate(batches, start=1):
        loss = functional.cross_entropy(run(now, inputs), labels)
        found = torch.autograd.grad(loss, list(now.values()), retain_graph=True)
        then = {}
        for (name, value), gradient in zip(now.items(), found, strict=True):
            if optimiser == "adam":
                first[name] = 0.9 * first[name] + 0.1 * gradient
                second[name] = 0.999 * second[name] + 0.001 * gradient**2
                size = (second[name] / (1 - 0.999**step)) ** 0.5 + 1e-8
                change = first[name] / (1 - 0.9**step) / size
            else:
                first[name] = (0.9 if optimiser == "momentum" else 0.0) * first[name] + gradient
                change = first[name]
            then[name] = value - rate * change
        now = then
        if step % every == 0:
            probabilities = run(now, batches[-step][0]).softmax(1)
            total = total + (probabilities * probabilities.log()).sum(1).mean()
    return list(torch.autograd.grad(total, list(network.backbone.parameters())))


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.3), ("momentum", 0.1), ("adam", 0.01)])
def test_accumulated_gradient_equals_that_of_kept_graphs(
    optimiser: OptimiserName, rate: float, every: int
) -> None:
    network, batches = small_network(), small_batches(12)
    shared = list(network.backbone.parameters())
    expected = kept_graphs(copy.deepcopy(network), batches, optimiser, rate, every)
    before = state(network)
    found = trajectory_gradient(network, shared, played(network, batches, every), optimiser, rate)
    assert same(before, state(network)), "weights or statistics were not put back"
    assert all(parameter.grad is None for parameter in network.parameters())
    # BatchNorm leaves the bias before it a gradient of 0, hence the absolute part.
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


def test_restores_weights_after_an_error() -> None:
    network = small_network()
    before = state(network)
    with pytest.raises(ZeroDivisionError), restore_afterwards(network):
        network(small_batches(1)[0][0])
        with torch.no_grad():
            network.head.weight.zero_()
        raise ZeroDivisionError
    assert same(before, state(network))


def test_frozen_parameters_stay_out_of_it() -> None:
    network, batches = small_network(), small_batches(3)
    network.blocks[0].requires_grad_(False)
    shared = list(network.blocks[1].parameters())
    found = trajectory_gradient(network, shared, played(network, batches), "adam", 0.01)
    assert len(found) == 2 and all(bool(one.abs().sum() > 0) for one in found)


def test_term_of_a_loss_carries_a_given_gradient() -> None:
    parameters = [nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(4))]
    wanted = [torch.randn(2, 3), torch.randn(4)]
    got = torch.autograd.grad(make_term_with_gradient(parameters, wanted), parameters)
    assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True))


class Kept:
    """A tensor that autograd keeps for a backward pass; how many there are is counted."""

    alive = most = 0

    def __init__(self, value: Tensor) -> None:
        self.value = value
        Kept.alive += 1
        Kept.most = max(Kept.most, Kept.alive)

    def __del__(self) -> None:
        Kept.alive -= 1


def most_kept(run: Callable[[], object]) -> int:
    Kept.alive = Kept.most = 0
    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.value):
        run()
    return Kept.most


def test_memory_does_not_grow_with_the_steps() -> None:
    network = small_network()
    shared = list(network.backbone.parameters())

    def ours(steps: int) -> object:
        batches = small_batches(steps)
        return trajectory_gradient(network, shared, played(network, batches), "sgd", 0.1)

    def naive(steps: int) -> object:
        return kept_graphs(network, small_batches(steps), "sgd", 0.1, 1)

    assert most_kept(lambda: ours(40)) == most_kept(lambda: ours(4)) > 0
    assert most_kept(lambda: naive(40)) > 8 * most_kept(lambda: naive(4))


def adapted_loss(network: Classifier, optimiser: InnerOptimiser, rate: Tensor) -> Tensor:
    (inputs, labels), *batches = small_batches(5)
    learner = Unrolled(network)
    *_, (weights, _) = learner.descend(batches, rate, optimiser)
    return functional.cross_entropy(learner(weights, inputs), labels)


@pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.3), ("adam", 0.01)])
def test_second_order_gradient_equals_finite_differences(
    optimiser: InnerOptimiser, rate: float
) -> None:
    network = small_network(3)
    learned = nn.Parameter(torch.tensor(rate, dtype=torch.float64))
    before = state(network)
    parameters = [*network.parameters(), learned]
    found = torch.autograd.grad(adapted_loss(network, optimiser, learned), parameters)
    assert same(before, state(network)), "the network was changed"
    largest = max(float(one.abs().max()) for one in found)
    for parameter, gradient in zip(parameters, found, strict=True):
        flat, slopes = parameter.data.view(-1), gradient.view(-1)
        for position in range(0, len(flat), 5):
            kept, values = float(flat[position]), []
            for shift in (1e-6, -1e-6):
                flat[position] = kept + shift
                values.append(float(adapted_loss(network, optimiser, learned).detach()))
            flat[position] = kept
            slope = (values[0] - values[1]) / 2e-6
            assert slope == pytest.approx(float(slopes[position]), rel=1e-4, abs=1e-6 * largest)


@pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.3), ("adam", 0.01)])
def test_unrolled_steps_equal_the_optimisers(optimiser: InnerOptimiser, rate: float) -> None:
    network, batches = small_network(), small_batches(6)
    *_, (weights, _) = Unrolled(network).descend(batches, rate, optimiser)
    plain = copy.deepcopy(network)
    builders = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    descent = builders[optimiser](plain.parameters(), lr=rate)
    for batch in batches:
        descent.zero_grad()
        cross_entropy(plain, batch).backward()
        descent.step()
    for name, value in plain.named_parameters():
        # The bias before BatchNorm has no gradient but rounding errors, which Adam magnifies.
        if name != "backbone.0.0.bias":
            torch.testing.assert_close(weights[name].detach(), value.detach(), rtol=0, atol=1e-5)
