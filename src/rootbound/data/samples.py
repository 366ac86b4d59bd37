"""Labelled samples: kept as they came, scaled a batch at a time, drawn with a generator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data.mapped import Mapped, rows_of
from rootbound.data.scaling import Scaling

Batch = tuple[Tensor, Tensor]
"""Inputs `(N, *shape)` as float32, normalised, or int64 tokens; and labels `(N,)` as int64."""
TOKENS = (torch.int16, torch.int32, torch.int64)
"""Stored inputs of these types are numbers of tokens: nothing is scaled."""
PADDING = 0
"""The token that stands for none, at the end of a text."""


@dataclass(frozen=True, eq=False)
class Data:
    """Labelled samples, kept as they came (bytes stay bytes) and scaled a batch at a time.

    Args:
        inputs: `(N, *shape)`, uint8 or floating point, finite; or tokens, of a wider integer type;
            or `Mapped`, which stays in a file.
        labels: `(N,)` int64, from 0.
        scaling: applied to every batch, but not to tokens.
        stratified: whether draws are the same from every class. Where labels are the next
            token they are not: some are rare.

    Raises:
        InputError: sizes differ, there are no samples, an input is NaN or infinite,
            or labels are not whole numbers from 0.
    """

    inputs: Tensor
    labels: Tensor
    scaling: Scaling = field(default_factory=Scaling)
    stratified: bool = True

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.labels) or self.labels.dim() != 1:
            raise InputError(
                "as many labels as samples",
                f"{len(self.inputs)} samples and labels of shape {tuple(self.labels.shape)}",
                "pass one label a sample",
            )
        if len(self.inputs) == 0:
            raise InputError("at least one sample", "none", "check the files or the class split")
        if self.labels.dtype != torch.int64 or int(self.labels.min()) < 0:
            raise InputError(
                "labels that are whole numbers from 0 (int64)",
                f"{self.labels.dtype}, smallest {self.labels.min().item()}",
                "convert the labels before building Data",
            )
        channels = len(self.scaling.channels)
        if channels > 1 and channels != (self.shape or (1,))[0]:
            raise InputError(
                f"a mean and a deviation for all, or for each of the channels of {self.shape}",
                str(channels),
                "state as many as there are channels",
            )
        # A finite sum proves finite inputs, in one pass and without a copy. What is in a file
        # has been checked when it was written.
        finite = (
            not self.inputs.is_floating_point()
            or isinstance(self.inputs, Mapped)
            or bool(self.inputs.sum().isfinite())
        )
        if not finite and not bool(torch.isfinite(self.inputs).all()):
            raise InputError(
                "finite inputs",
                f"{int((~torch.isfinite(self.inputs)).sum())} NaN or infinite values",
                "clean the data first",
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.inputs.shape[1:])

    @property
    def tokens(self) -> bool:
        """Whether inputs are numbers of tokens."""
        return self.inputs.dtype in TOKENS

    @property
    def stated_scaling(self) -> Scaling | None:
        """The scaling; None of tokens, which are not scaled."""
        return None if self.tokens else self.scaling

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of labels, scaling, shape and a hundred samples."""
        found = hashlib.sha256(repr((self.scaling, self.inputs.shape, self.inputs.dtype)).encode())
        for part in (self.labels, self.subset(100).inputs):
            found.update(part.contiguous().view(torch.uint8).cpu().numpy().tobytes())
        return found.hexdigest()[:16]

    def batch(self, index: Tensor | slice) -> Batch:
        """Return the samples at `index`, scaled."""
        inputs, scaling = self.inputs[index], self.scaling
        if self.tokens:
            return inputs.long(), self.labels[index]
        if scaling == Scaling() and inputs.dtype == torch.float32:
            return inputs, self.labels[index]
        return scaling.apply(inputs), self.labels[index]

    def in_order(self, size: int) -> Iterator[Batch]:
        """Yield every sample once, in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(slice(start, start + size))

    def batches(self, size: int, steps: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield `steps` batches of `size` samples (all samples if fewer), reshuffled each epoch."""
        size = min(size, len(self))
        order, position = self._order(generator), 0
        for _ in range(steps):
            if position + size > len(self):
                order, position = self._order(generator), 0
            yield self.batch(order[position : position + size])
            position += size

    def to(self, device: torch.device) -> Data:
        """Return the data on a device."""
        if self.labels.device == device:
            return self
        return replace(self, inputs=self.inputs.to(device), labels=self.labels.to(device))

    def _order(self, generator: torch.Generator) -> Tensor:
        """Draw an order of the samples: where the generator is, whatever device they are on."""
        order = torch.randperm(len(self), generator=generator, device=generator.device)
        return order.to(self.labels.device)

    def select(self, index: Tensor) -> Data:
        """Return the samples at `index` as data of their own."""
        return replace(self, inputs=rows_of(self.inputs, index), labels=self.labels[index])

    def per_class(self, count: int, generator: torch.Generator) -> tuple[Data, Data]:
        """Draw `count` samples of every class; return them and the rest.

        Where draws are not stratified, they are as many in all, of whatever class.

        Raises:
            InputError: a class has no more than `count` samples.
        """
        order = self._order(generator)
        if not self.stratified:
            return self._first(order, count * len(self.labels.unique()))
        shuffled = self.labels[order]
        # A sample's rank within its class, in the shuffled order.
        rank = torch.empty_like(order)
        for label in self.labels.unique().tolist():
            members = (shuffled == label).nonzero().squeeze(1)
            if len(members) <= count:
                raise InputError(
                    f"more than {count} samples of every class",
                    f"{len(members)} of class {label}",
                    "ask for fewer labels a class or bring more data",
                )
            rank[members] = torch.arange(len(members), device=rank.device)
        return self.select(order[rank < count]), self.select(order[rank >= count])

    def _first(self, order: Tensor, count: int) -> tuple[Data, Data]:
        if len(self) <= count:
            raise InputError(
                f"more than {count} samples", str(len(self)), "ask for fewer labels or bring more"
            )
        return self.select(order[:count]), self.select(order[count:])

    def halves(self, generator: torch.Generator) -> tuple[Data, Data]:
        """Split every class into two halves at random (the second gets the odd sample)."""
        if not self.stratified:
            return self._first(self._order(generator), len(self) // 2)
        first, second = [], []
        for label in self.labels.unique().tolist():
            members = (self.labels == label).nonzero().squeeze(1)
            shuffled = torch.randperm(len(members), generator=generator, device=generator.device)
            members = members[shuffled.to(members.device)]
            first.append(members[: len(members) // 2])
            second.append(members[len(members) // 2 :])
        return self.select(torch.cat(first)), self.select(torch.cat(second))

    def subset(self, size: int) -> Data:
        """Return at most `size` samples, evenly spaced, the same at every call."""
        if size >= len(self):
            return self
        places = torch.linspace(0, len(self) - 1, size, device="cpu").long()
        return self.select(places.to(self.labels.device))
