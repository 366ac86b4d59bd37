"""R_well and R_ill, their closed-form gradients and steps, against independent computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.shared.linear_hessian import LinearHessian, root
from rootbound.data import TaskPair
from rootbound.methods import ConditionNumber, Plain
from rootbound.methods.condition_number import (
    measure_ill_conditioning,
    measure_well_conditioning,
    precondition_gradient,
)
from rootbound.networks import Classifier
from rootbound.training import Recipe

Array = NDArray[np.float64]


def normal(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def with_singular_values(values: list[float], rows: int, columns: int, seed: int = 0) -> Tensor:
    left = torch.linalg.qr(normal(seed, rows, len(values))).Q
    right = torch.linalg.qr(normal(seed + 1, columns, len(values))).Q
    found: Tensor = (left * torch.tensor(values, dtype=torch.float64)) @ right.T
    return found


def naive(matrix: Array) -> tuple[float, float]:
    """Both regularisers from the formulas, by numpy's singular values."""
    values = np.linalg.svd(matrix, compute_uv=False)
    values = values[values > 1e-9 * values[0]]
    energy = float(np.square(matrix).sum())
    lowered = 0.5 * values[0] ** 2 - energy / (2 * min(matrix.shape))
    raised = 1 / (energy / (2 * len(values)) - 0.5 * values[-1] ** 2)
    return float(lowered), float(raised)


def naive_gradients(matrix: Array) -> tuple[Array, Array]:
    """Both gradients from the formulas (equations 3 and 13)."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    rank = int((values > 1e-9 * values[0]).sum())
    first = values[0] * np.outer(left[:, 0], right[0])
    last = values[rank - 1] * np.outer(left[:, rank - 1], right[rank - 1])
    _, raised = naive(matrix)
    return first - matrix / min(matrix.shape), (last - matrix / rank) * raised**2


MATRICES = [
    normal(0, 5, 5),
    normal(1, 7, 4),
    normal(2, 3, 9),
    with_singular_values([5.0, 2.0, 1.0], 6, 5),  # rank 3 of 5
    with_singular_values([1e3, 1.0, 1e-3], 4, 4),
]


@pytest.mark.parametrize("matrix", MATRICES, ids=lambda one: str(tuple(one.shape)))
def test_values_and_gradients_of_a_matrix_are_known(matrix: Tensor) -> None:
    lowered, raised = naive(matrix.numpy())
    variable = matrix.clone().requires_grad_(True)
    for function, value, expected in zip(
        (measure_well_conditioning, measure_ill_conditioning),
        (lowered, raised),
        naive_gradients(matrix.numpy()),
        strict=True,
    ):
        found = function(variable)
        assert float(found.detach()) == pytest.approx(value, rel=1e-9)
        (gradient,) = torch.autograd.grad(found, variable)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(gradient.numpy(), expected, atol=1e-9 * scale, rtol=0)


@pytest.mark.parametrize("function", [measure_well_conditioning, measure_ill_conditioning])
@pytest.mark.parametrize("matrix", MATRICES[:3], ids=lambda one: str(tuple(one.shape)))
def test_gradients_equal_finite_differences(function: object, matrix: Tensor) -> None:
    assert callable(function)
    assert torch.autograd.gradcheck(function, matrix.clone().requires_grad_(True))


def test_well_conditioned_loss_is_zero_only_for_equal_singular_values() -> None:
    rotation = torch.linalg.qr(normal(3, 6, 6)).Q
    assert float(measure_well_conditioning(3.7 * rotation)) == pytest.approx(0.0, abs=1e-12)
    assert float(measure_well_conditioning(with_singular_values([2.0, 2.0, 1.99], 3, 3))) > 1e-3


def test_ill_conditioned_loss_falls_as_the_condition_number_grows() -> None:
    values = [
        float(measure_ill_conditioning(with_singular_values([kappa, 1.0], 5, 5)))
        for kappa in (2.0, 10.0, 1e3, 1e6)
    ]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 1e-11
    for kappa, value in zip((2.0, 10.0, 1e3, 1e6), values, strict=True):
        assert value == pytest.approx(4 / (kappa**2 - 1), rel=1e-6)  # k = 2
        assert 1 / math.log(kappa) <= kappa**2 * value  # Theorem 4.1 (2)


def test_ill_conditioned_loss_is_flat_for_equal_directions() -> None:
    for matrix in (torch.zeros(4, 4), torch.eye(4)):
        variable = matrix.double().requires_grad_(True)
        value = measure_ill_conditioning(variable)
        (gradient,) = torch.autograd.grad(value, variable)
        assert bool(torch.isfinite(value)) and float(gradient.abs().max()) == 0.0


def linear(seed: int, samples: int = 30, width: int = 8, rank: int = 8) -> LinearHessian:
    inputs = normal(seed, samples, rank) @ normal(seed + 1, rank, width)
    theta = torch.eye(width, dtype=torch.float64) + 0.3 * normal(seed + 2, width, width)
    return LinearHessian(root(inputs), theta)


@pytest.mark.parametrize("rank", [8, 5])
def test_steps_of_a_linear_extractor_equal_the_formula(rank: int) -> None:
    hessian = linear(10, rank=rank)
    covariance = hessian.root.T @ hessian.root
    theta = hessian.theta.clone().requires_grad_(True)
    assert len(hessian.root) == rank
    for function, value, direction in (
        (measure_well_conditioning, hessian.well(), hessian.well_direction()),
        (measure_ill_conditioning, hessian.ill(), hessian.ill_direction()),
    ):
        through = function(theta.T @ covariance @ theta)
        assert value == pytest.approx(float(through.detach()), rel=1e-9)
        (gradient,) = torch.autograd.grad(through, theta)
        scale = float(gradient.abs().max())
        found = hessian.gradient(direction)
        torch.testing.assert_close(found, gradient, atol=1e-9 * scale, rtol=0)
        if rank == 8:  # where there is an inverse to multiply by
            explicit = torch.linalg.inv(covariance) @ gradient
            scale = float(explicit.abs().max())
            step = hessian.step(direction)
            torch.testing.assert_close(step, explicit, atol=1e-9 * scale, rtol=0)


def test_small_steps_move_the_condition_number_the_right_way() -> None:
    hessian = linear(20)

    def kappa(theta: Tensor) -> float:
        return float(torch.linalg.cond(hessian.root @ theta))

    start = kappa(hessian.theta)
    values = torch.linalg.svdvals(hessian.seen).square()
    first, second = float(values[0]), float(values[1])
    width = len(hessian.theta)
    bound = min(
        1 / ((1 - 1 / width) * first), ((first * second) ** 0.5 - second) / (2 / width * second**2)
    )
    lowered, raised = (
        hessian.theta - length * hessian.step(direction)
        for length, direction in (
            (0.45 * bound, hessian.well_direction()),
            (0.5 * hessian.ill() ** -2, hessian.ill_direction()),
        )
    )
    assert kappa(lowered) < start < kappa(raised)


def test_square_root_keeps_the_rank_that_the_product_loses() -> None:
    inputs = with_singular_values([1e4, 1.0, 1e-5], 50, 6)
    found = root(inputs)
    assert found.shape == (3, 6)
    torch.testing.assert_close(found.T @ found, inputs.T @ inputs, rtol=1e-9, atol=1e-7)
    assert float(torch.linalg.cond(found)) == pytest.approx(1e9, rel=1e-3)


def test_gradients_are_multiplied_by_the_inverse_covariance() -> None:
    features = normal(30, 20, 6)
    weights = normal(31, 20, 6)
    ridge = 1e-2
    covariance = features.T @ features / 20
    loaded = covariance + ridge * covariance.trace() / 6 * torch.eye(6, dtype=torch.float64)
    variable = features.clone().requires_grad_(True)
    through = precondition_gradient(variable, ridge)
    assert torch.equal(through, features)
    (gradient,) = torch.autograd.grad((through * weights).sum(), variable)
    torch.testing.assert_close(gradient, weights @ torch.linalg.inv(loaded))


def test_defence_trains_the_last_blocks_only(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    recipe = Recipe(epochs=1, batch_size=30, learning_rate=1e-2)
    before = Plain(recipe).fit(toy_model, toy_tasks)
    method = ConditionNumber(recipe, immunisation=recipe, trained_blocks=1)
    after = method.fit(toy_model, toy_tasks)
    states = [[block.state_dict() for block in model.blocks] for model in (before, after)]
    changed = [
        any(not torch.equal(value, other[name]) for name, value in one.items())
        for one, other in zip(*states, strict=True)
    ]
    assert changed[-1] and not any(changed[:-1])


def test_half_precision_keeps_the_factors(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    # Fewer samples than features, whose covariance bfloat16 does not hold.
    method = ConditionNumber(Recipe(epochs=1), ill_weight=1e-3, well_weight=1e-3)
    sides = toy_tasks.desirable.train.batch(slice(8)), toy_tasks.undesirable.train.batch(slice(8))
    full = method.loss(toy_model, *sides).item()
    with torch.autocast("cpu", torch.bfloat16):
        loss = method.loss(toy_model, *sides)
    assert loss.item() == pytest.approx(full, rel=0.02)
    loss.backward()
    assert all(one.grad is None or one.grad.isfinite().all() for one in toy_model.parameters())
