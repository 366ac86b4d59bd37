"""Tokenised texts: computed once, a part at a time, and kept in memory or in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.datasets.cache import collect, make_once
from rootbound.datasets.dataset import Layout
from rootbound.datasets.tokenisers import Tokeniser

AT_ONCE = 1024
"""Number of texts tokenised at a time: lists of numbers take ten times the memory of tokens."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of some texts.

    Args:
        tokeniser: The tokeniser. If it has no identity, tokens are computed anew each time.
        texts: The texts, which are read in order, a part at a time.
        length: Largest number of tokens of a text.
        in_memory: Most GiB in memory; if `length` tokens of every text need more, they are in a
            file.
    """

    tokeniser: Tokeniser
    texts: Sequence[str]
    length: int
    in_memory: float

    @property
    def large(self) -> bool:
        """Whether the tokens are in a file."""
        size = torch.int32.itemsize * self.length * len(self.texts)
        return size > self.in_memory * 2**30

    @cached_property
    def width(self) -> int:
        """Tokens of the longest text, at least 1."""
        if not self.large:
            return self._whole.shape[1]
        return int(make_once(f"width {self._source}", self._find_width))

    def to_width(self, width: int) -> Tensor:
        """Return the tokens, padded to `(N, width)`.

        Raises:
            InputError: There is no space for their file.
        """
        if not self.large:
            return _pad(self._whole, width)
        numbers = torch.arange(len(self.texts)).split(AT_ONCE)
        parts = (
            (_pad(part, width), part_numbers)
            for part, part_numbers in zip(self._parts(), numbers, strict=True)
        )
        source = f"{width} {self._source}"
        return collect(len(self.texts), parts, source, Layout(in_memory=0))[0]

    @cached_property
    def _whole(self) -> Tensor:
        """All tokens; from their file if the tokeniser has an identity."""
        return make_once(self._source, self._make) if self.tokeniser.identity else self._make()

    def _make(self) -> Tensor:
        parts = list(self._parts())
        width = max(part.shape[1] for part in parts)
        return torch.cat([_pad(part, width) for part in parts])

    def _find_width(self) -> Tensor:
        """Return the width; stop at the first text of `length` tokens, which none exceeds."""
        widest = 0
        for part in self._parts():
            widest = max(widest, part.shape[1])
            if widest >= self.length:
                break
        return torch.tensor(widest)

    @cached_property
    def _source(self) -> str:
        """A text that changes with the tokens; computed from them if there is no identity."""
        identity = self.tokeniser.identity
        if not identity:
            rows = (row.numpy().tobytes() for part in self._parts() for row in part)
            return f"tokens {_digest(rows)}"
        contents = _digest(text.encode("utf-8", "surrogatepass") for text in self.texts)
        return f"tokens {self.length} {contents} {identity}"

    def _parts(self) -> Iterator[Tensor]:
        """Yield the tokens in parts of some texts, each part as wide as its longest text."""
        for start in range(0, max(1, len(self.texts)), AT_ONCE):
            yield self.tokeniser(self.texts[start : start + AT_ONCE], self.length)


def _digest(values: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(len(value).to_bytes(8, "little") + value)
    return digest.hexdigest()


def _pad(tokens: Tensor, width: int) -> Tensor:
    return functional.pad(tokens, (0, width - tokens.shape[1]))
