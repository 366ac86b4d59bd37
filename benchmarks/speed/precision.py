"""What bfloat16, channels_last and torch.compile bring in training.

python -m benchmarks.speed.precision [--device cpu]

A step is forward, loss, backward and Adam on one batch of 128. Compiled, it calls the network as a
whole, as `Plain` does. The ways take turns, so that other jobs on the machine slow all of them
alike. Numbers are medians of rounds, as ratios to float32. Accuracies are of MNIST 0-4 after one
epoch of the shallow CNN, or 60 steps of the ResNet.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

import rootbound as rb
from benchmarks.shared.timing import wait_for
from rootbound.core.devices import find_device, make_generator, on
from rootbound.core.memory import keep_freed_memory
from rootbound.networks.compiled import compiled
from rootbound.training import accuracy

ROUNDS, BATCH = 7, 128
STEPS = {"shallow_cnn": 30, "resnet_20": 2}
LENGTHS = {"shallow_cnn": 239, "resnet_20": 60}
WAYS = (
    "float32", "channels_last", "bfloat16", "bfloat16, channels_last", "compiled",
    "compiled, bfloat16, channels_last",
)  # fmt: skip


def make_stepper(
    model: rb.Classifier, way: str, while_open: contextlib.ExitStack
) -> Callable[[Tensor, Tensor], None]:
    """Return a function that takes one training step, for as long as the stack is open."""
    layout = torch.channels_last if "channels_last" in way else torch.contiguous_format
    model.to(memory_format=layout)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(model.parameters(), 2e-3, fused=True)
    if "compiled" in way:
        while_open.enter_context(compiled(model))

    def step(inputs: Tensor, labels: Tensor) -> None:
        if "channels_last" in way:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        optimiser.zero_grad(set_to_none=True)
        half = torch.autocast(inputs.device.type, torch.bfloat16)
        with half if "bfloat16" in way else contextlib.nullcontext():
            loss = functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimiser.step()

    return step


def measure_speeds(name: str, shape: tuple[int, int, int]) -> dict[str, list[float]]:
    """Return milliseconds a step of every way, a number for each round."""
    inputs, labels = torch.randn(BATCH, *shape), torch.arange(BATCH) % 5
    device = inputs.device
    milliseconds: dict[str, list[float]] = {way: [] for way in WAYS}
    several = STEPS[name] if device.type == "cpu" else 50
    with contextlib.ExitStack() as while_open:
        steps = {}
        for way in WAYS:
            model = rb.models.build(name, 5, shape).to(device).train()
            steps[way] = make_stepper(model, way, while_open)
            steps[way](inputs, labels)
            steps[way](inputs, labels)
        for _ in range(ROUNDS):
            for way, step in steps.items():
                wait_for(device)
                started = time.perf_counter()
                for _ in range(several):
                    step(inputs, labels)
                wait_for(device)
                milliseconds[way].append(1000 * (time.perf_counter() - started) / several)
    return milliseconds


def measure_accuracies(name: str, way: str, task: rb.Task, seeds: int = 3) -> list[float]:
    """Return the desirable test accuracy in percent after a short training, for each seed."""
    percents = []
    for seed in range(seeds):
        model = rb.models.build(name, 5, task.train.shape, seed=seed).to(task.train.labels.device)
        with contextlib.ExitStack() as while_open:
            step, generator = make_stepper(model.train(), way, while_open), make_generator(seed)
            for inputs, labels in task.train.batches(BATCH, LENGTHS[name], generator):
                step(inputs, labels)
        percents.append(100 * accuracy(model, task.test.subset(1000)))
    return percents


def main(device: str) -> None:
    """Print a row for each network and way."""
    keep_freed_memory()
    torch.set_num_threads(1)
    tasks = rb.datasets.mnist().split(range(5), range(5, 10))
    with on(target := find_device(device)):
        task = tasks.desirable.to(target)
        print(f"{platform.machine()}, {device}, torch {torch.__version__}\n")
        print("| network | way | ms a step | times as fast | accuracy, % |")
        print("|---|---|---:|---:|---|")
        for network, size in (("shallow_cnn", (1, 28, 28)), ("resnet_20", (3, 32, 32))):
            print_table(network, size, task)


def print_table(network: str, size: tuple[int, int, int], task: rb.Task) -> None:
    """Print the rows of one network."""
    rounds = measure_speeds(network, size)
    for way, times in rounds.items():
        ratios = [a / b for a, b in zip(rounds["float32"], times, strict=True)]
        reached = (
            ", ".join(f"{percent:.1f}" for percent in measure_accuracies(network, way, task))
            if way in ("float32", "bfloat16, channels_last")
            else ""
        )
        print(
            f"| {network} | {way} | {statistics.median(times):.3g} "
            f"[{min(times):.3g}-{max(times):.3g}] | {statistics.median(ratios):.2f} "
            f"| {reached} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    main(parser.parse_args().device)
