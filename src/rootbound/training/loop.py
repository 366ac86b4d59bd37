"""The recipe of a training and its loop, with seeding, prediction and accuracy."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from rootbound.core import distributed, progress
from rootbound.core.devices import PRECISIONS, autocast, computing_in, make_generator, set_seed
from rootbound.core.errors import unknown_name_error
from rootbound.core.fields import PositiveFloat, PositiveInt, check
from rootbound.data import Augmentation, Batch, Data
from rootbound.records.configuration import ADDED_LATER
from rootbound.training.state import Phase, Stateful

Item = TypeVar("Item")


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to train: Adam under a one-cycle learning rate.

    Args:
        epochs: Passes over the desirable training data, at least 1.
        batch_size: Desirable samples per step, at least 1.
        learning_rate: The peak, reached after 30 % of the steps (L. Smith, N. Topin,
            "Super-convergence", 2018, https://arxiv.org/abs/1708.07120).
        augmentation: How every batch of images is changed at random.
        precision: `float32`, or `bfloat16` for matrix products and convolutions; weights and
            solutions in closed form stay in float32.
        compiled: Whether `torch.compile` compiles the network and its blocks first.

    Raises:
        InputError: A value is not positive, or the precision is unknown.
    """

    epochs: PositiveInt = 5
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 2e-3
    augmentation: Augmentation = Augmentation(shift=1)
    precision: str = field(default=PRECISIONS[0], metadata=ADDED_LATER)
    compiled: bool = field(default=False, metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        check(self)
        if self.precision not in PRECISIONS:
            raise unknown_name_error("precision", self.precision, PRECISIONS)

    def computing(self) -> AbstractContextManager[None]:
        """Return the context in which training computes in its precision."""
        standard = self.precision == PRECISIONS[0]
        return contextlib.nullcontext() if standard else computing_in(self.precision)

    def steps(self, samples: int) -> int:
        """Return the number of steps of all epochs over this number of samples."""
        return self.epochs * max(1, samples // self.batch_size)

    def batches(
        self, data: Data, steps: int, generator: torch.Generator, size: int | None = None
    ) -> Iterator[Batch]:
        """Yield `steps` augmented batches of `size` samples, or of the recipe's batch size."""
        for inputs, labels in data.batches(size or self.batch_size, steps, generator):
            yield self.augmentation(inputs, generator), labels


class TrainingDiverged(RuntimeError):
    """Training ended with weights that are not finite."""


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Seed a new generator and torch's global stream; restore the stream afterwards."""
    device = torch.get_default_device()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        set_seed(seed)
        yield make_generator(seed)


def minimise(
    model: nn.Module,
    loss: Callable[[Item, float], Tensor],
    batches: Iterable[Item],
    *,
    steps: int,
    learning_rate: float,
    title: str = "training",
    evaluating: bool = False,
    changes: Sequence[Stateful] | None = None,
) -> None:
    """Train the model's parameters in place: one Adam step per batch, one-cycle learning rate.

    If several processes train together, each takes its part of every batch.

    Args:
        model: The model; its parameters with `requires_grad` are trained.
        loss: Returns the loss of a batch, given the progress through training from 0 to 1.
        batches: The batches, `steps` of them.
        steps: How many steps there are.
        learning_rate: The peak.
        title: Title of the training in the progress bar and the log.
        evaluating: Whether to leave BatchNorm and Dropout in evaluation mode.
        changes: Other objects that the loss changes, `()` if there are none; then a training with a
            training state that was killed resumes within this loop. The loss must not draw from
            the batches' generator. If left out, the loop starts again.

    Raises:
        UnusableTrainingState: The saved state does not belong to this training.
        TrainingDiverged: A weight became NaN or infinite.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps + 1)
    model.train(not evaluating)
    phase = Phase({"model": model, "optimiser": optimiser, "schedule": schedule}, changes)
    with progress.step(title, steps, phase.position) as shown:
        for batch in phase.remaining(batches):
            optimiser.zero_grad(set_to_none=True)
            with autocast():
                value = loss(distributed.share(batch), phase.position / steps)
            value.backward()
            distributed.average(model)
            optimiser.step()
            schedule.step()
            phase.seen()
            shown.advance()
    phase.end()
    optimiser.zero_grad(set_to_none=True)
    model.eval()
    check_finite(model)


def check_finite(model: nn.Module) -> None:
    """Raise `TrainingDiverged` when a weight is NaN or infinite; a mask may be minus infinity."""
    buffers = {name for name, _ in model.named_buffers()}
    for name, value in model.state_dict().items():
        allowed = value.isfinite() | ((value == -math.inf) & (name in buffers))
        if not bool(allowed.all()):
            raise TrainingDiverged(f"weights of {name} are not finite: lower the learning rate")


def predict(model: nn.Module, data: Data, batch_size: int = 1024) -> Tensor:
    """Return the model's outputs for all of the data, in evaluation mode, without gradients."""
    was_training, modes = model.training, [(one, one.training) for one in model.modules()]
    model.eval()
    outputs: Tensor | None = None
    start = 0
    with torch.inference_mode():
        for inputs, _ in data.in_order(batch_size):
            part: Tensor = model(inputs)
            if outputs is None or part.shape[1:] != outputs.shape[1:]:
                outputs = _with_room(outputs, part, len(data))
            end = start + len(part)
            outputs[(slice(start, end), *map(slice, part.shape[1:]))] = part
            start = end
    model.train(was_training)
    for one, mode in modes:  # some parts may be frozen, in another mode than the whole
        one.training = mode
    assert outputs is not None  # data are never empty
    return outputs


def _with_room(outputs: Tensor | None, part: Tensor, count: int) -> Tensor:
    """Return outputs that a part fits into: texts of a later batch may have longer ones."""
    if outputs is None:
        # Parts are written into one tensor, because joining them would need twice the memory.
        return part.new_zeros((count, *part.shape[1:]))
    sizes = [max(pair) for pair in zip(outputs.shape[1:], part.shape[1:], strict=True)]
    if sizes == list(outputs.shape[1:]):
        return outputs
    wider = part.new_zeros((count, *sizes))
    wider[(slice(None), *map(slice, outputs.shape[1:]))] = outputs
    return wider


def accuracy(model: nn.Module, data: Data) -> float:
    """Return the share of samples for which the label has the largest logit, in [0, 1]."""
    return float((predict(model, data).argmax(-1) == data.labels).float().mean())
