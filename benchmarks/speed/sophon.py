"""How fast and how small SOPHON's outer step is.

python -m benchmarks.speed.sophon

One thread, `shallow_cnn`, batches of 32; medians of three. Keeping all graphs is what the usual way
through `autograd` does. Evaluating the whole test set after each outer step is what the released
code does.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

import rootbound as rb
from benchmarks.shared.timing import measure_seconds
from rootbound.core.memory import keep_freed_memory
from rootbound.data import Batch
from rootbound.methods.shared.trajectory import Step, trajectory_gradient
from rootbound.networks import Classifier
from rootbound.training import accuracy

REPEATS, RATE = 3, 0.01


def compute_loss(model: Classifier, batch: Batch) -> Tensor:
    """Return the cross-entropy."""
    return functional.cross_entropy(model(batch[0]), batch[1])


def accumulate_gradient(model: Classifier, batches: list[Batch]) -> list[Tensor]:
    """Steps in place, every term's gradient added up at its point."""
    network, shared = model, list(model.parameters())

    def steps() -> Iterator[Step]:
        for batch in batches:
            yield partial(compute_loss, network, batch), partial(compute_loss, network, batch)

    return trajectory_gradient(network, shared, steps(), "sgd", RATE)


def keep_graphs(model: Classifier, batches: list[Batch]) -> list[Tensor]:
    """Every step's weights and graph are kept until all terms are differentiated at once."""
    start: dict[str, Tensor] = dict(model.named_parameters())
    weights, total = dict(start), torch.zeros(())
    for inputs, labels in batches:
        for judged in (False, True):
            logits = functional_call(model, weights, (inputs,))
            value = functional.cross_entropy(logits, labels)
            if judged:
                total = total + value
                continue
            found = torch.autograd.grad(value, list(weights.values()), retain_graph=True)
            moved = zip(weights.items(), found, strict=True)
            weights = {name: one - RATE * gradient for (name, one), gradient in moved}
    return list(torch.autograd.grad(total, list(start.values())))


def count_saved_bytes(run: Callable[[], object]) -> int:
    """Return the most bytes that graphs held at once."""
    held = most = 0

    class Saved:
        def __init__(self, value: Tensor) -> None:
            nonlocal held, most
            self.value = value
            held += value.numel() * value.element_size()
            most = max(most, held)

        def __del__(self) -> None:
            nonlocal held
            held -= self.value.numel() * self.value.element_size()

    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.value):
        run()
    return most


def measure_typical(run: Callable[[], object]) -> float:
    """Return the median time."""
    return statistics.median(measure_seconds(run, REPEATS))


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    keep_freed_memory()
    tasks = rb.datasets.mnist().split(range(5), range(5, 10))
    model = rb.models.shallow_cnn(5)
    generator = torch.Generator().manual_seed(0)
    whole = measure_typical(lambda: accuracy(copy.deepcopy(model), tasks.desirable.test))
    print("| K | accumulated, s | kept graphs, s | graphs, MiB | kept, MiB | with a test, times |")
    print("|---|---|---|---|---|---|")
    for count in (5, 20, 50):
        batches = list(tasks.known_undesirable.batches(32, count, generator))
        first, second = accumulate_gradient(model, batches), keep_graphs(model, batches)
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(first, second, strict=True))
        own, other = (partial(form, model, batches) for form in (accumulate_gradient, keep_graphs))
        fast, slow = measure_typical(own), measure_typical(other)
        small, large = count_saved_bytes(own) / 2**20, count_saved_bytes(other) / 2**20
        ratio = (fast + whole) / fast
        print(f"| {count} | {fast:.3f} | {slow:.3f} | {small:.2f} | {large:.2f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
