"""How fast a step of the condition-number defence is.

python -m benchmarks.speed.condition_number

A linear extractor of MNIST, 784 x 784 in float64, one thread. Numbers are medians of five with the
fastest and the slowest in brackets, in processor time, which other jobs disturb least.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

import rootbound as rb
from benchmarks.shared.linear_hessian import LinearHessian, root
from benchmarks.shared.timing import measure_seconds

REPEATS, BATCH, WIDTH, RIDGE, WEIGHT = 5, 64, 784, 1e-3, 1e6


def step_in_closed_form(roots: Sequence[Tensor], theta: Tensor) -> Tensor:
    """One step of both: the Hessians of all data, their extremes, no inverse."""
    primary, harmful = (LinearHessian(factor, theta) for factor in roots)
    return primary.step(primary.well_direction() + WEIGHT * harmful.ill_direction())


def step_by_autograd(batches: Sequence[Tensor], theta: Tensor) -> Tensor:
    """The usual way: a batch's Gram matrices, autograd through eigenvalues, then two solves."""
    theta = theta.clone().requires_grad_(True)
    identity = torch.eye(WIDTH, dtype=theta.dtype)
    steps: list[Tensor] = []
    for batch, name in zip(batches, ("well", "ill"), strict=True):
        seen = batch @ theta
        gram = seen.T @ seen
        values = torch.linalg.eigvalsh(gram + 1e-6 * identity)
        energy = gram.square().sum() / (2 * WIDTH)
        smallest = values[values > 1e-6].min()
        loss = values.max() ** 2 / 2 - energy if name == "well" else 1 / (energy - smallest**2 / 2)
        (gradient,) = torch.autograd.grad(loss, theta)
        covariance = batch.T @ batch + RIDGE * identity
        steps.append(torch.linalg.solve(covariance, gradient))
    return steps[0] + WEIGHT * steps[1]


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    inputs, labels = rb.datasets.mnist().train.batch(slice(None))
    images = [inputs[labels == digit].flatten(1).double() for digit in (0, 1)]
    started = time.process_time()
    roots = [root(digit) for digit in images]
    once = time.process_time() - started
    noise = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(0))
    theta = torch.eye(WIDTH, dtype=torch.float64) + 0.01 * noise.double()
    batches = [digit[:BATCH] for digit in images]
    fast = measure_seconds(lambda: step_in_closed_form(roots, theta), REPEATS, time.process_time)
    slow = measure_seconds(lambda: step_by_autograd(batches, theta), REPEATS, time.process_time)
    ratio = statistics.median(slow) / statistics.median(fast)
    sides = " against ".join(
        f"{statistics.median(times):.3f} s [{min(times):.3f}-{max(times):.3f}]"
        for times in (fast, slow)
    )
    print("# Speed of a condition-number step\n\n`python -m benchmarks.speed.condition_number`\n")
    print(f"{platform.machine()}, {os.cpu_count()} cores, one thread, torch {torch.__version__}\n")
    print("| what: against | goal | measured | medians |\n|---|---|---|---|")
    print(
        f"| step at {WIDTH}, float64: Gram matrices of {BATCH} samples, autograd through "
        f"eigvalsh, two solves | >= 3 | {ratio:.3g} | {sides} |"
    )
    print(f"\nOnce, for both covariances of {sum(map(len, images)):,} images: {once:.2f} s.")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
