"""How fast and how small the MMD of NTL and RepNoise is.

python -m benchmarks.speed.mmd

Forward and backward of 32 + 32 samples, one thread, both sides warm. Numbers are medians of five,
with the fastest and the slowest in brackets, in processor time, which other jobs disturb least.
Memory is what the graph holds for the way back.
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

from benchmarks.shared.timing import measure_seconds
from rootbound.core.memory import keep_freed_memory
from rootbound.methods.shared.maximum_mean_discrepancy import maximum_mean_discrepancy

REPEATS, SAMPLES, WIDTHS = 5, 32, (2048, 32768)


def measure_call(run: Callable[[], object], calls: int) -> list[float]:
    """Return the processor seconds of a call in repeated series."""
    series = measure_seconds(lambda: [run() for _ in range(calls)], REPEATS, time.process_time)
    return [whole / calls for whole in series]


def compute_by_broadcast(first: Tensor, second: Tensor) -> Tensor:
    """The usual way: all differences at once, an N x N x D tensor, and five exponentials."""
    samples = torch.cat([first, second])
    count, half = len(samples), len(first)
    distances = (samples[None] - samples[:, None]).square().sum(2)
    bandwidth = distances.detach().sum() / (count * (count - 1))
    kernels = sum(torch.exp(-distances / (bandwidth * 2.0**power)) for power in range(-2, 3))
    assert isinstance(kernels, Tensor)
    within = kernels[:half, :half] + kernels[half:, half:]
    return (within - kernels[:half, half:] - kernels[half:, :half]).mean()


def measure_graph(form: Callable[[Tensor, Tensor], Tensor], width: int) -> float:
    """Return the MiB that a form's graph keeps; what several nodes share counts once."""
    storages: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return value

    first, second = (torch.randn(SAMPLES, width, requires_grad=True) for _ in range(2))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        # Keep the graph: its tensors would be freed with it, and their addresses used again.
        _graph = form(first, second)
    return sum(storages.values()) / 2**20


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
    print("| feature size | Gram identity, ms | broadcast, ms | times faster ", end="")
    print("| graphs, MiB | times smaller | largest difference |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    with threadpool_limits(1):
        for width in WIDTHS:
            forms = (maximum_mean_discrepancy, compute_by_broadcast)
            gram, broadcast = (backward(form, width) for form in forms)
            small, large = (measure_graph(form, width) for form in forms)
            difference = float((gram() - broadcast()).abs().max() / broadcast().abs().max())
            fast, slow = measure_call(gram, 20), measure_call(broadcast, 1)
            ratio = statistics.median(slow) / statistics.median(fast)
            sides = (
                f"{statistics.median(side) * 1e3:.3g} [{min(side) * 1e3:.3g}-{max(side) * 1e3:.3g}]"
                for side in (fast, slow)
            )
            cells = " | ".join(sides)
            print(f"| {width:,} | {cells} | {ratio:.0f} | {small:.2f} against {large:.0f} ", end="")
            print(f"| {large / small:.0f} | {difference:.1e} of the gradient |")


if __name__ == "__main__":
    main()
