"""Trainings that keep every loss: by one process, or by those that torchrun starts.

torchrun --nproc-per-node 2 tests/together.py FOLDER
"""

from __future__ import annotations

import contextlib
import copy
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core import distributed
from rootbound.core.fields import PositiveInt
from rootbound.data import Batch, TaskPair
from rootbound.methods import BestResponse, LossMethod, Schedule, Terms
from rootbound.networks import Classifier, build
from rootbound.training import Recipe
from rootbound.training.explained_variance import explained_variance, linear_information
from rootbound.training.state import TrainingState
from stopped import Stopped, stop_after
from toy import toy_dataset

RECIPE = Recipe(epochs=3, batch_size=36)


def precisely(batch: Batch) -> Batch:
    """Return the batch in float64: Adam amplifies what float32 rounds away."""
    return batch[0].double(), batch[1]


@dataclass(frozen=True)
class Watched(BestResponse):
    """The method with its finishing steps left out, as their losses are not seen here."""

    undesirable_batch_size: PositiveInt | None = 48
    schedule: Schedule = Schedule(wait=0.0, warm_in=0.0, finishing_steps=0)
    seen: list[float] = field(default_factory=list)

    def random_levels(
        self, model: Classifier, tasks: TaskPair, generator: torch.Generator
    ) -> tuple[float, ...]:
        return super().random_levels(copy.deepcopy(model).float(), tasks, generator)

    def loss(
        self,
        model: Classifier,
        desirable: Batch,
        undesirable: Batch | None,
        progress: float,
        levels: Sequence[float] = (),
        teacher: Classifier | None = None,
    ) -> Tensor:
        batches = precisely(desirable), undesirable and precisely(undesirable)
        found = super().loss(model, *batches, progress, levels, teacher)
        self.seen.append(float(found.detach()))
        return found


@dataclass(frozen=True)
class WatchedPlain(LossMethod):
    """Training without intervention."""

    seen: list[float] = field(default_factory=list)

    def loss(
        self, model: Classifier, desirable: Batch, _undesirable: Batch, _progress: float
    ) -> Tensor:
        inputs, labels = precisely(desirable)
        found = functional.cross_entropy(model(inputs), labels)
        self.seen.append(float(found.detach()))
        return found


ROWS: dict[str, tuple[Watched | WatchedPlain, str]] = {
    "Plain": (WatchedPlain(RECIPE), "shallow_cnn"),
    "BestResponse": (
        Watched(RECIPE, weight=0.3, terms=Terms(projection=16)),
        "shallow_cnn",
    ),
    "batch norm": (WatchedPlain(RECIPE), "batch_norm_cnn"),
}


def trained(row: str, training_state: TrainingState | None = None) -> dict[str, Tensor]:
    """Return the weights and, as `losses`, the curve of one training."""
    method, name = ROWS[row]
    seen: list[float] = []
    tasks = toy_dataset().split([0, 1, 2], [3, 4, 5])
    start = build(name, 3, (1, 16, 16), seed=0).double()
    # What checks that a network can take the samples would give it float32.
    torch.set_default_dtype(torch.float64)
    try:
        own = replace(method, seen=seen)
        model = own.fit(start, tasks, seed=0, training_state=training_state)
    finally:
        torch.set_default_dtype(torch.float32)
    return {**model.state_dict(), "losses": torch.tensor(seen, dtype=torch.float64)}


def gradients() -> dict[str, Tensor]:
    """Return values and gradients of the closed forms, those in all samples that are held."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 4
    features = torch.randn(60, 7, generator=generator, dtype=torch.float64) + labels[:, None]
    # The highest class is one that not every process has.
    features, labels = distributed.share((features, torch.where(labels == 3, labels + 1, labels)))
    found = {}
    for value in (explained_variance, linear_information):
        moved = features.clone().requires_grad_(True)
        result = value(moved, labels, 1e-3)
        # As in training: every process's own loss, of which the mean is descended.
        (result / distributed.count_processes()).backward()
        assert moved.grad is not None
        found[value.__name__] = result.detach()
        found[f"{value.__name__}, gradient"] = moved.grad
    return found


STOPPED_AFTER = 4


def resumed(row: str, folder: Path) -> dict[str, Tensor]:
    """Return what a training finds that was stopped, on machines that do not share a folder.

    When it is started again, the machines of all but the main process are new.
    """
    training_state = TrainingState(folder, every=0.0)
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Stopped):
        stop_after(STOPPED_AFTER, patch)
        trained(row, training_state)
    if not distributed.is_main_process():
        shutil.rmtree(folder, ignore_errors=True)
    return trained(row, training_state)


SHAPES = ((3, 4), (5,), (2, 2, 2))


def own_gradients(rank: int) -> list[Tensor]:
    """Return gradients that differ between processes, in two precisions."""
    generator = torch.Generator().manual_seed(rank)
    kinds = (torch.float32, torch.float64, torch.float32)
    return [
        torch.randn(shape, generator=generator, dtype=kind)
        for shape, kind in zip(SHAPES, kinds, strict=True)
    ]


class Masked(nn.Module):
    """Weights, some without a gradient in one or all processes, and a mask of the lowest number."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        gradients = own_gradients(rank)
        self.weights = nn.ParameterList(torch.zeros_like(one) for one in gradients)
        for weight, gradient in zip(self.weights, gradients, strict=True):
            # As transposed weights have it, not contiguous.
            weight.grad = gradient.transpose(0, -1).contiguous().transpose(0, -1)
        # One that rank 1 alone has reached, of the size of another that both have.
        self.seldom = nn.Parameter(torch.zeros(5))
        self.seldom.grad = torch.full((5,), 6.0) if rank == 1 else None
        self.never = nn.Parameter(torch.zeros(3))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_buffer("mask", torch.full((2,), torch.finfo(torch.float32).min))
        self.register_buffer("count", torch.tensor(rank))


def averaged(rank: int) -> dict[str, Tensor]:
    """Return what an average of all processes leaves in one of them."""
    model = Masked(rank)
    distributed.average(model)
    named = {f"gradient {i}": one for i, one in enumerate(model.weights)}
    named |= {"seldom reached": model.seldom, "never reached": model.never}
    found = {name: one.grad for name, one in named.items()}
    return {**model.state_dict(), **{name: one for name, one in found.items() if one is not None}}


def everything(rank: int = 0, folder: Path | None = None) -> dict[str, dict[str, Tensor]]:
    found = {"closed forms": gradients(), **{row: trained(row) for row in ROWS}}
    if folder is not None:
        found["resumed"] = resumed("batch norm", folder / f"unfinished-{rank}")
        found["averaged"] = averaged(rank)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    with distributed.join():
        own = torch.distributed.get_rank()
        torch.save(everything(own, Path(sys.argv[1])), Path(sys.argv[1]) / f"{own}.pt")
