"""Optimisers of ours take the steps that torch's own take, and load nothing for it."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from rootbound.attacks import FineTune
from rootbound.attacks.tuning.objective import LossName, classification_loss, one_hot
from rootbound.attacks.tuning.optimisers import WITHOUT_COMPILER, OptimiserName, Update
from rootbound.suites import QUICK_2
from rootbound.training import seeded

TORCHS: dict[OptimiserName, Callable[..., Optimizer]] = {
    "sgd": partial(SGD, momentum=0.9, fused=True),
    "adam": partial(Adam, fused=True),
    "adamw": partial(AdamW, fused=True),
}


@pytest.mark.parametrize("name", TORCHS)
def test_steps_equal_those_of_torch(name: OptimiserName) -> None:
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


def test_sam_uses_the_gradient_at_the_worst_nearby_point() -> None:
    weight = nn.Parameter(torch.tensor([3.0, -4.0], dtype=torch.float64))
    scale = torch.tensor([1.0, 2.0], dtype=torch.float64)
    start, slope = weight.detach().clone(), scale * weight.detach()
    Update([weight], "sam", 0.1)(lambda: (scale * weight.square()).sum() / 2)
    worst = start + 0.05 * slope / slope.norm()
    torch.testing.assert_close(weight.detach(), start - 0.1 * scale * worst)


def test_losses_equal_those_of_torch_or_the_papers() -> None:
    with seeded(0):
        logits, labels = torch.randn(9, 4), torch.randint(4, (9,))
    targets, rows = one_hot(labels, 4), torch.arange(9)
    shares, own = logits.softmax(1), logits[rows, labels]
    others = logits.masked_fill(targets.bool(), -math.inf).max(1).values
    expected: dict[LossName, Tensor] = {
        "cross-entropy": functional.cross_entropy(logits, labels),
        "smoothed": functional.cross_entropy(logits, labels, label_smoothing=0.1),
        "squared": 4 * functional.mse_loss(logits, targets),
        "hinge": (1 + others - own).clamp_min(0).mean(),
        "focal": -((1 - shares).square() * shares.log())[rows, labels].mean(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(classification_loss(name, logits, targets), value)


def test_half_cosine_schedule_equals_that_of_torch() -> None:
    theirs = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, rates = CosineAnnealingLR(theirs, 7), []
    for _ in range(7):
        rates.append(theirs.param_groups[0]["lr"])
        theirs.step()
        schedule.step()
    assert [FineTune()._rate_factor(done, 7) for done in range(7)] == pytest.approx(rates)


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


def test_compiler_is_not_loaded() -> None:
    assert not any(trial.loads_compiler for trial in QUICK_2.attacks)
    said = subprocess.run(
        [sys.executable, "-c", STEPS], check=True, capture_output=True, text=True
    ).stdout
    assert said.split() == [str(len(WITHOUT_COMPILER)), "False"]
