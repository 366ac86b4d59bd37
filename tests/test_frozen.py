"""Networks with frozen weights, or with layers that do not know their sizes yet."""

from __future__ import annotations

import copy

import pytest
from torch import nn

import rootbound as rb
from architectures import OneConvolution
from rootbound.data import TaskPair
from rootbound.suites import Suite


@pytest.mark.parametrize("frozen", [["convolution"], ["convolution", "head"]], ids=len)
def test_attackers_thaw_frozen_weights(
    frozen: list[str], toy_tasks: TaskPair, toy_suite: Suite
) -> None:
    network = OneConvolution()
    cold = copy.deepcopy(network)
    for name in frozen:
        cold.get_submodule(name).requires_grad_(False)
    found = [rb.evaluate(one, toy_tasks, suite=toy_suite, seeds=1) for one in (network, cold)]
    reached = [[(one.attack, one.losses, one.error) for one in run.records] for run in found]
    assert reached[0] == reached[1]
    assert [one.requires_grad for one in cold.convolution.parameters()] == [False, False]


def test_refuses_to_train_a_fully_frozen_network(toy_tasks: TaskPair) -> None:
    with pytest.raises(rb.InputError, match="got one whose weights are all frozen; call its requi"):
        rb.defend(OneConvolution().requires_grad_(False), toy_tasks, "Plain", epochs=1)


def test_layers_infer_their_sizes(toy_tasks: TaskPair) -> None:
    layers = nn.Flatten(), nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(3)
    model = rb.defend(nn.Sequential(*layers), toy_tasks, "Plain", epochs=1)
    assert [tuple(weight.shape) for weight in model.parameters()][::2] == [(16, 256), (3, 16)]
