"""The last k layers, or all of them, fine-tuned from the given weights or from fresh ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

from rootbound.attacks.base import Attack, Snapshot
from rootbound.data import Data
from rootbound.errors import InputError
from rootbound.models import Classifier


@dataclass(frozen=True)
class FineTune(Attack):
    """Train the head and the blocks before it by gradient descent, the learning rate decaying.

    Loss: cross-entropy. Learning rate: half a cosine from `learning_rate` to 0.

    Args:
        layers: how many, the head included, at least 2; None for all.
        start: `kept` weights, or `re-initialised` ones (of the layers that are trained).
        optimiser: `sgd` (momentum 0.9) or `adam`.
        learning_rate: the first one, above 0.
        batch_size: samples a step.

    Raises:
        InputError: fewer than 2 layers.
    """

    layers: int | None = None
    start: Literal["kept", "re-initialised"] = "kept"
    optimiser: Literal["sgd", "adam"] = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 128

    def __post_init__(self) -> None:
        if self.layers is not None and self.layers < 2:
            raise InputError("at least 2 layers", str(self.layers), "use LastLayer for one")

    @property
    def family(self) -> str:
        """What is retrained."""
        return "all layers" if self.layers is None else f"last {self.layers} layers"

    def trained_blocks(self, model: Classifier) -> int:
        """Return the layers before the head."""
        return len(model.blocks) if self.layers is None else self.layers - 1

    def applies_to(self, model: Classifier) -> bool:
        """Return whether `layers` leaves some block frozen; training all is a family of its own."""
        return self.layers is None or self.layers - 1 < len(model.blocks)

    def transfer(
        self, model: Classifier, train: Data, steps: int, generator: torch.Generator
    ) -> Iterator[Snapshot]:
        """Yield the model after every step."""
        if self.start == "re-initialised":
            model = model.reinitialised(int(torch.randint(2**31, (), generator=generator)))
        parameters = list(model.parameters())
        optimiser: torch.optim.Optimizer
        if self.optimiser == "sgd":
            optimiser = torch.optim.SGD(parameters, self.learning_rate, momentum=0.9, fused=True)
        else:
            optimiser = torch.optim.Adam(parameters, self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        batches = train.batches(self.batch_size, steps, generator)
        for step, (inputs, labels) in enumerate(batches, start=1):
            model.train()
            optimiser.zero_grad(set_to_none=True)
            functional.cross_entropy(model(inputs), labels).backward()
            optimiser.step()
            schedule.step()
            yield Snapshot(step, model)
