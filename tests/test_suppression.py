"""Suppression losses and recalibration against naive ones and a general solver."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rootbound.methods.mlac import recalibrated_loss
from rootbound.methods.shared.trajectory import Suppression, suppression_loss
from smooth import best_mixing


def naive_suppression(name: Suppression, logits: Tensor, labels: Tensor) -> float:
    values = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        powers = [math.exp(one) for one in row]
        chances = [one / sum(powers) for one in powers]
        if name == "inverse":
            values.append(-math.log(1 - chances[label]))
        elif name == "negated":
            # The released code's form: a shift of all logits changes nothing.
            shifted = [math.exp(1 - one) for one in row]
            values.append(-math.log(shifted[label] / sum(shifted)))
        elif name == "uniform":
            values.append(sum(math.log(1 / len(row) / one) / len(row) for one in chances))
        else:
            values.append(sum(one * math.log(one) for one in chances))
    return sum(values) / len(values)


@pytest.mark.parametrize("name", ["inverse", "negated", "uniform", "entropy"])
def test_suppression_losses_equal_naive_ones(name: Suppression) -> None:
    generator = torch.Generator().manual_seed(2)
    logits = 3 * torch.randn(20, 4, generator=generator, dtype=torch.float64)
    labels = torch.arange(20) % 4
    found = float(suppression_loss(name, logits, labels))
    assert found == pytest.approx(naive_suppression(name, logits, labels), rel=1e-12)
    assert torch.autograd.gradcheck(
        lambda one: suppression_loss(name, one, labels), logits.requires_grad_(True)
    )


def test_inverse_cross_entropy_survives_rounding_to_one() -> None:
    logits = torch.tensor([[100.0, 0.0, 0.0]], requires_grad=True)
    loss = suppression_loss("inverse", logits, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert float(loss.detach()) == pytest.approx(100 - math.log(2), rel=1e-5)
    assert float(gradient[0, 0]) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_recalibration_equals_a_general_solver(scale: float) -> None:
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(30) % 3
    # The second set would look hopeless without recalibration: its classes are permuted.
    seen = functional.one_hot((labels + 1) % 3).double()
    noise = torch.randn(2, 30, 3, generator=generator, dtype=torch.float64)
    logits = scale * (noise + torch.stack([torch.zeros_like(seen), 3 * seen]))
    expected = sum(best_mixing(one, labels)[0] for one in logits) / 2
    found = recalibrated_loss(logits.requires_grad_(True), labels, iterations=2000)
    assert float(found.detach()) == pytest.approx(expected, abs=1e-7)
    assert float(found.detach()) < math.log(3)
    (slope,) = torch.autograd.grad(found, logits)
    shift = torch.randn(logits.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        ends = [
            sum(best_mixing(one, labels)[0] for one in logits + sign * 1e-4 * shift) / 2
            for sign in (1, -1)
        ]
    assert (ends[0] - ends[1]) / 2e-4 == pytest.approx(float((slope * shift).sum()), abs=1e-4)


def test_recalibration_converges_in_its_default_iterations() -> None:
    generator = torch.Generator().manual_seed(5)
    logits = 10 * torch.randn(16, 32, 5, generator=generator)
    labels = torch.arange(32) % 5
    usual = float(recalibrated_loss(logits, labels))
    assert usual == pytest.approx(float(recalibrated_loss(logits, labels, 5000)), abs=5e-3)
