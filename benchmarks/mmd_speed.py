"""How fast the MMD of NTL and RepNoise is: python benchmarks/mmd_speed.py.

Forward and backward of 32 + 32 samples, one thread; both sides warm; medians of five, with
the fastest and the slowest in brackets.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from rootbound.memory import keep_freed_memory
from rootbound.methods.parts.maximum_mean_discrepancy import maximum_mean_discrepancy

REPEATS, SAMPLES, WIDTHS = 5, 32, (2048, 32768)


def seconds(run: Callable[[], object], calls: int) -> list[float]:
    """Return the seconds a call takes in repeated series, after one that does not count."""
    run()
    found = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        for _ in range(calls):
            run()
        found.append((time.perf_counter() - started) / calls)
    return found


def by_broadcast(first: Tensor, second: Tensor) -> Tensor:
    """The usual way: all differences at once, an N x N x D tensor, and five exponentials."""
    samples = torch.cat([first, second])
    count, half = len(samples), len(first)
    distances = (samples[None] - samples[:, None]).square().sum(2)
    bandwidth = distances.detach().sum() / (count * (count - 1))
    kernels = sum(torch.exp(-distances / (bandwidth * 2.0**power)) for power in range(-2, 3))
    assert isinstance(kernels, Tensor)
    within = kernels[:half, :half] + kernels[half:, half:]
    return (within - kernels[:half, half:] - kernels[half:, :half]).mean()


def backward(form: Callable[[Tensor, Tensor], Tensor], width: int) -> Callable[[], Tensor]:
    """Return a function that computes the gradient of one form, from the same samples."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(SAMPLES, width, generator=generator, requires_grad=True)
    second = torch.randn(SAMPLES, width, generator=generator).add(0.1).requires_grad_(True)

    def run() -> Tensor:
        first.grad = second.grad = None
        form(first, second).backward()
        assert first.grad is not None
        return first.grad

    return run


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    keep_freed_memory()
    print(f"Python {platform.python_version()}, torch {torch.__version__}, one thread")
    print(f"{os.cpu_count()} cores of {platform.processor() or platform.machine()}", end=", ")
    print(f"load {os.getloadavg()[0]:.1f} when it began\n")
    print(
        "| feature size | Gram identity, ms | broadcast, ms | times faster | largest difference |"
    )
    print("|---:|---:|---:|---:|---:|")
    with threadpool_limits(1):
        for width in WIDTHS:
            gram, broadcast = (
                backward(form, width) for form in (maximum_mean_discrepancy, by_broadcast)
            )
            difference = float((gram() - broadcast()).abs().max() / broadcast().abs().max())
            fast, slow = seconds(gram, 20), seconds(broadcast, 1)
            ratio = statistics.median(slow) / statistics.median(fast)
            sides = (
                f"{statistics.median(side) * 1e3:.3g} [{min(side) * 1e3:.3g}-{max(side) * 1e3:.3g}]"
                for side in (fast, slow)
            )
            cells = " | ".join(sides)
            print(f"| {width:,} | {cells} | {ratio:.0f} | {difference:.1e} of the gradient |")


if __name__ == "__main__":
    main()
