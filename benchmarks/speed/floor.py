"""How far a training step is from what the machine could do.

python -m benchmarks.speed.floor

Processor seconds of forward and backward on a batch of 128, one thread, against two floors: its
floating-point operations over the rate of a 1024 x 1024 product, and four passes over its
activations (written and read, forward and backward) over the rate of copying 128 MiB.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import rootbound as rb
from benchmarks.shared.timing import measure_seconds

BATCH, REPEATS = 128, 7


def measure_typical(run: Callable[[], object]) -> float:
    """Return the median processor seconds."""
    return statistics.median(measure_seconds(run, REPEATS, time.process_time))


def count_activation_bytes(model: nn.Module, inputs: Tensor) -> int:
    """Return how many bytes the layers' outputs take."""
    sizes: list[int] = []
    layers = [part for part in model.modules() if not list(part.children())]
    hooks = [
        layer.register_forward_hook(lambda *call: sizes.append(call[-1].nbytes)) for layer in layers
    ]
    model(inputs)
    for hook in hooks:
        hook.remove()
    return sum(sizes)


def main() -> None:
    """Print a row for each network."""
    torch.set_num_threads(1)
    left, right = torch.randn(1024, 1024), torch.randn(1024, 1024)
    rate = 2 * 1024**3 / measure_typical(lambda: left @ right)
    source, target = torch.randn(1 << 25), torch.empty(1 << 25)
    bandwidth = 2 * source.nbytes / measure_typical(lambda: target.copy_(source))
    print(f"{rate / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.0f} GB/s on one core\n")
    print("| network | GFLOP | ms | floor by operations, ms | floor by memory, ms |")
    print("|---|---:|---:|---:|---:|")
    for name, shape in (("shallow_cnn", (1, 28, 28)), ("resnet_20", (3, 32, 32))):
        model = rb.models.build(name, 5, shape).train()
        inputs, labels = torch.randn(BATCH, *shape), torch.arange(BATCH) % 5

        def step(model: nn.Module = model, x: Tensor = inputs, y: Tensor = labels) -> None:
            functional.cross_entropy(model(x), y).backward()

        with FlopCounterMode(display=False) as counter:
            step()
        flops, touched = counter.get_total_flops(), 4 * count_activation_bytes(model, inputs)
        print(
            f"| {name} | {flops / 1e9:.3g} | {1e3 * measure_typical(step):.3g} "
            f"| {1e3 * flops / rate:.3g} | {1e3 * touched / bandwidth:.3g} |"
        )


if __name__ == "__main__":
    main()
