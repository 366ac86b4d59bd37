"""How near stacked trials come to an accelerator's peak.

python -m benchmarks.speed.accelerator [--device cuda]

Three tables: what the device does in products of matrices and in copies; 64 last layers that are
trained stacked and one by one; and networks that are fine-tuned stacked (`torch.func`, whose
convolutions become grouped ones) and one by one, which attacks do not do yet. One by one means the
time of a single one, times their number. Products of matrices are computed in float32 and
convolutions in tensor float 32, as torch does by default, and each is held to its own peak. Numbers
are medians of five, after one run that does not count.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import rootbound as rb
from benchmarks.shared.timing import measure_seconds
from rootbound.attacks import Attacker, LastLayer
from rootbound.core.devices import find_device, make_generator, on
from rootbound.data import Data, TaskPair
from rootbound.methods import BestResponse, Plain
from rootbound.networks import Classifier
from rootbound.training import Recipe

REPEATS, TRIALS, STEPS, BATCH = 5, 64, 200, 128


def measure_typical(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median seconds."""
    return statistics.median(measure_seconds(run, repeats))


def measure_peaks() -> dict[str, float]:
    """Print and return operations and bytes a second, measured."""
    side, rates = 8192 if torch.get_default_device().type != "cpu" else 1024, {}
    for name, dtype, precision in (
        ("float32", torch.float32, "highest"),
        ("tensor float 32", torch.float32, "high"),
        ("bfloat16", torch.bfloat16, "highest"),
    ):
        torch.set_float32_matmul_precision(precision)
        left, right = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
        rates[name] = 2 * side**3 / measure_typical(lambda a=left, b=right: a @ b)  # type: ignore[misc]
        print(f"| product in {name} | {rates[name] / 1e12:.3g} TFLOP/s |", flush=True)
    torch.set_float32_matmul_precision("highest")
    source, target = torch.randn(1 << 28), torch.empty(1 << 28)
    rates["copy"] = 2 * source.nbytes / measure_typical(lambda: target.copy_(source))
    print(f"| copy | {rates['copy'] / 1e12:.3g} TB/s |\n", flush=True)
    return rates


def time_heads(peak: float) -> None:
    """Print how long 64 last layers take, stacked and one by one."""
    features = Data(torch.randn(10_000, 512), torch.arange(10_000) % 10)
    rest = Classifier(nn.Sequential(), nn.Linear(512, 10))
    trials = [LastLayer("sgd", 1e-4 * 1.15**i) for i in range(TRIALS)]

    def train(chosen: list[LastLayer]) -> None:
        attacker = Attacker(features, STEPS, make_generator(0))
        for _ in LastLayer.transfer_together(chosen, rest, attacker):
            pass

    stacked = measure_typical(lambda: train(trials))
    single = measure_typical(lambda: train(trials[:1]))
    flops = TRIALS * STEPS * 2 * 2 * trials[0].batch_size * 513 * 10
    print(
        f"| {TRIALS} last layers | {1e3 * single * TRIALS:.3g} | {1e3 * stacked:.3g} "
        f"| {single * TRIALS / stacked:.3g} | {100 * flops / stacked / peak:.2g} % |",
        flush=True,
    )


def time_networks(name: str, shape: tuple[int, int, int], count: int, peak: float) -> None:
    """Print how long a step of several networks takes, stacked and one by one."""
    device = torch.get_default_device()
    models = [rb.models.build(name, 5, shape, seed=seed).to(device) for seed in range(count)]
    for model in models:
        # The layout that convolutions prefer is none that `vmap` can copy.
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.track_running_stats = False  # a stacked step may not write them in place
    inputs, labels = torch.randn(BATCH, *shape), torch.arange(BATCH) % 5
    parameters, buffers = stack_module_state(models)

    def loss(values: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        logits = functional_call(models[0], (values, buffers), (inputs,))
        return functional.cross_entropy(logits, labels)

    slopes = vmap(grad(loss))

    def together() -> None:
        for value, slope in zip(
            parameters.values(), slopes(parameters, buffers).values(), strict=True
        ):
            value.data.sub_(slope, alpha=1e-3)

    optimisers = [torch.optim.SGD(model.parameters(), 1e-3) for model in models]

    def alone(model: nn.Module = models[0], step: torch.optim.SGD = optimisers[0]) -> None:
        step.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        step.step()

    with FlopCounterMode(display=False) as counter:
        alone()
    flops = count * counter.get_total_flops()
    stacked, single = measure_typical(together), count * measure_typical(alone)
    print(
        f"| {count} `{name}` | {1e3 * single:.3g} | {1e3 * stacked:.3g} | {single / stacked:.3g} "
        f"| {100 * flops / stacked / peak:.2g} % |",
        flush=True,
    )


def time_trainings(tasks: TaskPair) -> None:
    """Print how long an epoch takes."""
    for name in ("shallow_cnn", "resnet_20"):
        model = rb.models.build(name, 5, tasks.desirable.train.shape).to(torch.get_default_device())
        for method in (Plain(Recipe(1)), BestResponse(Recipe(1))):
            took = measure_typical(lambda m=method, start=model: m.fit(start, tasks), 1)  # type: ignore[misc]
            print(f"| {type(method).__name__}, `{name}`, an epoch | {took:.3g} s |", flush=True)


def main(device: str) -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    tasks = rb.datasets.mnist().split(range(5), range(5, 10))
    with on(target := find_device(device)):
        print(f"{device}, torch {torch.__version__}\n\n| | |\n|---|---:|")
        measured = measure_peaks()
        print("| stacked | one by one, ms | stacked, ms | times as fast | of the peak |")
        print("|---|---:|---:|---:|---:|")
        time_heads(peak := measured["float32"])
        for count in (4, 16, 64):
            time_networks("shallow_cnn", (1, 28, 28), count, peak)
        for count in (4, 16):
            time_networks("resnet_20", (3, 32, 32), count, peak)
        print("\n| | |\n|---|---:|")
        time_trainings(tasks.to(target))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    main(parser.parse_args().device)
