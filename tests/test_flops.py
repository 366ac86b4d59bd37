"""Counted operations against numbers computed by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.nn import functional

from rootbound.attacks import Snapshot
from rootbound.evaluation.operations import FlopCounter


def steps(count: int, stated: float = 0.0) -> Iterator[Snapshot]:
    layer = nn.Linear(7, 3)
    inputs = torch.randn(5, 7)
    for step in range(1, count + 1):
        functional.cross_entropy(layer(inputs), torch.zeros(5, dtype=torch.int64)).backward()
        yield Snapshot(step, layer, flops=stated)


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_each_step_costs_its_matrix_products(count: int) -> None:
    counter = FlopCounter()
    assert len(list(counter.count(steps(count)))) == count
    # Forward, and the gradient of the weights: two operations for each multiplication.
    assert counter.flops == count * 2 * (2 * 5 * 7 * 3)


def test_ignores_work_between_snapshots() -> None:
    counter = FlopCounter()
    for _ in counter.count(steps(3)):
        torch.randn(50, 50) @ torch.randn(50, 50)
    assert counter.flops == 3 * 2 * (2 * 5 * 7 * 3)


def test_adds_unseen_work_once() -> None:
    counter = FlopCounter()
    list(counter.count(steps(4, stated=1e6)))
    assert counter.flops == 1e6 + 4 * 2 * (2 * 5 * 7 * 3)


def test_attack_without_snapshots_costs_nothing() -> None:
    counter = FlopCounter()
    assert list(counter.count(iter(()))) == []
    assert counter.flops == 0.0
