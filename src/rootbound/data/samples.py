"""Labelled samples: stored as given, scaled a batch at a time, drawn with a generator."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data.arrays import as_inputs, as_labels, gather
from rootbound.data.mapped import MappedRows, select_rows
from rootbound.data.transforms import Scaling

Batch = tuple[Tensor, Tensor]
"""Inputs `(N, *shape)` as float32, normalised, or int64 tokens; and labels `(N,)` as int64."""
TOKENS = (torch.int16, torch.int32, torch.int64)
"""Types of stored inputs that are tokens, which are not scaled."""
MOST_SCALED = 1 << 24
"""Most numbers that are kept in scaled form: 64 MiB."""
PADDING = 0
"""The token that fills up a short text."""


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """Labelled samples, stored as given (bytes stay bytes) and scaled a batch at a time.

    Args:
        inputs: `(N, *shape)`, uint8 or floating point, finite; or tokens, of a wider integer type.
            Those of `open_rows` stay in a file: index them to read some, `inputs[:]` for all.
        labels: `(N,)` int64, from 0. NumPy arrays become tensors; integers become int64.
        scaling: How every batch is scaled; tokens are not.
        stratified: Whether draws take the same number of samples from every class. They do not
            where the label is the next token, because some tokens are rare.

    Raises:
        InputError: Sizes differ, there are no samples, an input is NaN or infinite,
            or labels are not whole numbers from 0.
    """

    inputs: Tensor
    labels: Tensor
    scaling: Scaling = field(default_factory=Scaling)
    stratified: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", as_inputs(self.inputs))
        if not isinstance(self.labels, Tensor):
            object.__setattr__(self, "labels", as_labels(self.labels))
        if len(self.inputs) != len(self.labels) or self.labels.dim() != 1:
            raise InputError(
                "as many labels as samples",
                f"{len(self.inputs)} samples and labels of shape {tuple(self.labels.shape)}",
                "pass one label per sample",
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
                "give one number, or one for each channel",
            )
        # Inputs in a file were checked when it was written.
        if isinstance(self.inputs, MappedRows) or not self.inputs.is_floating_point():
            return
        # A finite sum proves finite inputs, in one pass and without a copy. Networks read float32.
        if self.inputs.sum(dtype=torch.float32).isfinite():
            return
        bad = int((~self.inputs.float().isfinite()).sum())
        if bad:
            raise InputError(
                "finite inputs",
                f"{bad} NaN or infinite values",
                "clean the data first",
            )

    @classmethod
    def of(cls, source: object, scaling: Scaling | None = None) -> Data:
        """Return the data in a pair `(inputs, labels)`, a data set of torch, or a loader of one.

        Args:
            source: Tensors or arrays, or an iterable of pairs of a tensor and a label; `Data` is
                returned unchanged.
            scaling: How every batch is scaled; not at all if left out.

        Raises:
            InputError: It is none of these, or its samples have different sizes.
        """
        if isinstance(source, Data):
            return source
        inputs, labels = gather(source)
        return cls(as_inputs(inputs), as_labels(labels), scaling or Scaling())

    def __repr__(self) -> str:
        """Return one line with the number of samples and their shape."""
        kind = "tokens" if self.tokens else str(self.inputs.dtype).removeprefix("torch.")
        return f"Data({len(self):,} samples of shape {self.shape}, {kind}, {self.scaling})"

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
        """The scaling; None for tokens, which are not scaled."""
        return None if self.tokens else self.scaling

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits computed from labels, scaling, shape and a hundred samples."""
        digest = hashlib.sha256(repr((self.scaling, self.inputs.shape, self.inputs.dtype)).encode())
        for values in (self.labels, self.subset(100).inputs[:]):
            digest.update(values.contiguous().view(torch.uint8).cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def batch(self, index: Tensor | slice) -> Batch:
        """Return the samples at `index`, scaled, in memory of their own."""
        inputs, labels = self.inputs[index], self.labels[index]
        # A slice is a view of the data, and a network may work in place.
        is_view = isinstance(index, slice)
        if self.tokens:
            return inputs.to(torch.int64, copy=is_view), labels
        if self.scaling == Scaling() and inputs.dtype == torch.float32:
            return inputs.clone() if is_view else inputs, labels
        return self.scaling.apply(inputs), labels

    def scaled(self) -> Data:
        """Return the same samples in scaled form, so that batches need no scaling any more.

        Tokens, and data that would take much memory, are returned unchanged.
        """
        is_small = len(self) * math.prod(self.shape) <= MOST_SCALED
        if self.tokens or isinstance(self.inputs, MappedRows) or not is_small:
            return self
        inputs, labels = self.batch(slice(None))
        return Data(inputs, labels, stratified=self.stratified)

    def in_order(self, size: int) -> Iterator[Batch]:
        """Yield every sample once, in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(slice(start, start + size))

    def batches(self, size: int, steps: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield `steps` batches of `size` samples (all samples if fewer), reshuffled each epoch."""
        size = min(size, len(self))
        order, position = self._shuffle(generator), 0
        for _ in range(steps):
            if position + size > len(self):
                order, position = self._shuffle(generator), 0
            yield self.batch(order[position : position + size])
            position += size

    def to(self, device: torch.device) -> Data:
        """Return the data on a device."""
        if self.labels.device == device:
            return self
        return replace(self, inputs=self.inputs[:].to(device), labels=self.labels.to(device))

    def _shuffle(self, generator: torch.Generator) -> Tensor:
        """Draw an order of the samples, on the generator's device and then moved to theirs."""
        order = torch.randperm(len(self), generator=generator, device=generator.device)
        return order.to(self.labels.device)

    def select(self, index: Tensor) -> Data:
        """Return the samples at `index` as data of their own."""
        return replace(self, inputs=select_rows(self.inputs, index), labels=self.labels[index])

    def per_class(self, count: int, generator: torch.Generator) -> tuple[Data, Data]:
        """Draw `count` samples of every class; return them and the rest.

        Where draws are not stratified, the same total is drawn, whatever the classes.

        Raises:
            InputError: A class has no more than `count` samples.
        """
        drawn, rest = self._choose_per_class(count, generator)
        return self.select(drawn), self.select(rest)

    def draw(self, count: int, generator: torch.Generator) -> Data:
        """Draw the same samples as `per_class`, without the rest, which may take much memory."""
        return self.select(self._choose_per_class(count, generator)[0])

    def _choose_per_class(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return which samples are drawn, and which are not."""
        order = self._shuffle(generator)
        if not self.stratified:
            return self._split(order, count * len(self.labels.unique()))
        sizes = self.labels.bincount()
        if bool(((sizes > 0) & (sizes <= count)).any()):
            label = int(((sizes > 0) & (sizes <= count)).nonzero()[0])
            raise InputError(
                f"more than {count} samples of every class",
                f"{int(sizes[label])} of the class with label {label}",
                "ask for fewer labels per class or bring more data",
            )
        return self._first_of_each(order, torch.full_like(sizes, count))

    def hold_out(self, share: float, most: int, generator: torch.Generator) -> tuple[Data, Data]:
        """Draw a share of every class, at least 1 and at most `most`; return it and the rest.

        A class with a single sample gives none. Where draws are not stratified, the total is the
        same as if classes had equal sizes, whatever the classes of the drawn samples.

        Raises:
            InputError: There are too few samples, or one of each class.
        """
        order, sizes = self._shuffle(generator), self.labels.bincount()
        if self.stratified:
            counts = (sizes.double() * share).long().clamp(1, most)
            drawn, rest = self._first_of_each(order, counts.minimum((sizes - 1).clamp(min=0)))
        else:
            classes = int((sizes > 0).sum())
            count = int(len(self) // classes * share)
            drawn, rest = self._split(order, classes * max(1, min(count, most)))
        return self.select(drawn), self.select(rest)

    def _first_of_each(self, order: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first `counts` samples of each class in the given order, and the rest."""
        shuffled = self.labels[order]
        # A sample's rank within its class, in the shuffled order.
        rank = torch.empty_like(order)
        for label in self.labels.unique().tolist():
            members = (shuffled == label).nonzero().squeeze(1)
            rank[members] = torch.arange(len(members), device=rank.device)
        drawn = rank < counts[shuffled]
        return order[drawn], order[~drawn]

    def _split(self, order: Tensor, count: int) -> tuple[Tensor, Tensor]:
        if len(self) <= count:
            raise InputError(
                f"more than {count} samples", str(len(self)), "ask for fewer labels or bring more"
            )
        return order[:count], order[count:]

    def halves(self, generator: torch.Generator) -> tuple[Data, Data]:
        """Split every class into two halves at random (the second gets the odd sample)."""
        if not self.stratified:
            first, second = self._split(self._shuffle(generator), len(self) // 2)
            return self.select(first), self.select(second)
        firsts, seconds = [], []
        for label in self.labels.unique().tolist():
            members = (self.labels == label).nonzero().squeeze(1)
            shuffled = torch.randperm(len(members), generator=generator, device=generator.device)
            members = members[shuffled.to(members.device)]
            firsts.append(members[: len(members) // 2])
            seconds.append(members[len(members) // 2 :])
        return self.select(torch.cat(firsts)), self.select(torch.cat(seconds))

    def subset(self, size: int) -> Data:
        """Return at most `size` samples, evenly spaced, the same at every call."""
        if size >= len(self):
            return self
        index = torch.linspace(0, len(self) - 1, size, device="cpu").long()
        return self.select(index.to(self.labels.device))
