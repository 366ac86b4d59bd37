"""The cost of running a network as blocks, compared with the network itself.

python -m benchmarks.speed.blocks

Ratios of forward and backward, medians of fifteen pairs taken in turn, with the quartiles; and the
seconds to find the blocks. EfficientNet-Lite0 has its published weights and images of 64 x 64.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from rootbound.networks import Classifier

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from architectures import Basic, ShallowCNN, Staged, VisionTransformer
from published_network import published_network

PAIRS = 15
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "shallow CNN": (ShallowCNN, (256, 1, 28, 28)),
    "ResNet, width 8": (lambda: Staged(Basic), (128, 3, 32, 32)),
    "ViT, width 12": (VisionTransformer, (128, 3, 16, 16)),
    "EfficientNet-Lite0": (published_network, (16, 3, 64, 64)),
}


def time_step(network: nn.Module, samples: Tensor) -> float:
    """Return the seconds of a forward and a backward pass in training."""
    started = time.perf_counter()
    network.train()(samples).sum().backward()
    return time.perf_counter() - started


def main() -> None:
    """Print a row for each network."""
    torch.set_num_threads(1)
    print("| network | blocks | found in, s | with blocks / itself |\n|---|---|---|---|")
    for name, (make, shape) in NETWORKS.items():
        network, samples = make(), torch.randn(shape)
        started = time.perf_counter()
        model = Classifier.wrap(network, example=samples[:1])
        found = time.perf_counter() - started
        time_step(network, samples), time_step(model, samples)
        ratios = [time_step(model, samples) / time_step(network, samples) for _ in range(PAIRS)]
        low, median, high = statistics.quantiles(ratios, n=4)
        print(
            f"| {name} | {len(model.blocks)} | {found:.2f} | {median:.3f} [{low:.3f}-{high:.3f}] |"
        )


if __name__ == "__main__":
    main()
