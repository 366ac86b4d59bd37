"""Optimisers of ours take the steps that torch's own take, and load nothing for it."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from rootbound.attacks.tuning.optimisers import WITHOUT_COMPILER, OptimiserName, Update
from rootbound.suites import QUICK_2
from rootbound.training import seeded

TORCHS: dict[OptimiserName, Callable[..., Optimizer]] = {
    "sgd": partial(SGD, momentum=0.9, fused=True),
    "adam": partial(Adam, fused=True),
    "adamw": partial(AdamW, fused=True),
}


@pytest.mark.parametrize("name", TORCHS)
def test_steps_are_those_of_torch(name: OptimiserName) -> None:
    with seeded(0):
        network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3), nn.Linear(3, 3))
        inputs = torch.randn(8, 4)
    # The last layer has no gradient at some steps.
    depths = (4, 4, 3, 4)
    copies = [copy.deepcopy(network) for _ in range(2)]
    update = Update(list(copies[0].parameters()), name, 0.1, weight_decay=0.01)
    for step, depth in enumerate(depths):
        update(lambda: _loss(copies[0], inputs, depth), 1 / (1 + step))  # noqa: B023
    theirs = TORCHS[name](copies[1].parameters(), lr=0.1, weight_decay=0.01)
    for step, depth in enumerate(depths):
        theirs.param_groups[0]["lr"] = 0.1 / (1 + step)
        theirs.zero_grad()
        _loss(copies[1], inputs, depth).backward()
        theirs.step()
    weights = [nn.utils.parameters_to_vector(one.parameters()) for one in (network, *copies)]
    assert not torch.equal(weights[0], weights[1])
    assert all(torch.equal(*pair) for pair in pairwise(weights[1:]))


def _loss(network: nn.Sequential, inputs: Tensor, depth: int) -> Tensor:
    outputs: Tensor = network[:depth](inputs)
    return outputs.square().mean()


STEPS = """
import sys, torch
from rootbound.attacks import Snapshot
from rootbound.attacks.tuning.optimisers import WITHOUT_COMPILER, Update
from rootbound.evaluation.operations import FlopCounter
def steps():
    for name in WITHOUT_COMPILER:
        layer = torch.nn.Linear(3, 2)
        Update(list(layer.parameters()), name, 0.1)(lambda: layer(torch.ones(4, 3)).sum())
        yield Snapshot(1, layer)
print(len(list(FlopCounter().count(steps()))), "torch._dynamo" in sys.modules)
"""


def test_the_compiler_is_not_loaded() -> None:
    assert not any(trial.loads_compiler for trial in QUICK_2.attacks)
    said = subprocess.run(
        [sys.executable, "-c", STEPS], check=True, capture_output=True, text=True
    ).stdout
    assert said.split() == [str(len(WITHOUT_COMPILER)), "False"]
