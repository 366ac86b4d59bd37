"""Tokenisers turn texts into numbers; two of them need no files."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from rootbound.data import PADDING

WORD = re.compile(r"\w+|[^\w\s]")


class Tokeniser(Protocol):
    """Turns texts into numbers; 0 is padding."""

    @property
    def identity(self) -> str:
        """A text that changes whenever the tokens of a text would; empty where that is unknown."""

    def __call__(self, texts: Sequence[str], length: int) -> Tensor:
        """Return tokens `(N, L)` as int32, cut after `length`; L is that of the longest text.

        The tokens of a text do not depend on the other texts.
        """

    def vocabulary(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return the text of each token, as it first occurs in these texts."""


@runtime_checkable
class Predicted(Tokeniser, Protocol):
    """A tokeniser of a causal language model, which predicts its tokens."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """The text of each output of the model."""

    def predicted(self, tokens: Tensor) -> Tensor:
        """Return the number of the model's output for each token, int64."""


@dataclass(frozen=True)
class HashedWords:
    """Words in lower case, each numbered by a checksum, so that no vocabulary is needed.

    K. Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009. Words with the
    same number are the same word to a model. With 16,384 numbers and 10,000 words nearly every
    second word shares its number with another, mostly a rare one.

    Args:
        size: Number of tokens, including padding.
    """

    size: int = 16384

    @property
    def identity(self) -> str:
        """It includes Unicode's version, which decides what is a word and what is lower case."""
        return f"{self!r} {WORD.pattern} Unicode {unicodedata.unidata_version}"

    def __call__(self, texts: Sequence[str], length: int) -> Tensor:
        """Return tokens `(N, L)` as int32."""
        numbered = [[self._number(word) for word in self._words(text, length)] for text in texts]
        return pad(numbered)

    def vocabulary(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return the first word of each number in these texts; empty if there is none."""
        words: dict[int, str] = {}
        for text in texts:
            for word in dict.fromkeys(self._words(text, None)):
                words.setdefault(self._number(word), word)
            if len(words) == self.size - 1:
                break
        return tuple(words.get(number, "") for number in range(self.size))

    def _words(self, text: str, most: int | None) -> list[str]:
        return WORD.findall(text.lower())[:most]

    def _number(self, word: str) -> int:
        return 1 + zlib.crc32(word.encode("utf-8", "surrogatepass")) % (self.size - 1)


@dataclass(frozen=True)
class Letters:
    """Letters, numbered from 2 in the given order; 1 stands for any other.

    Args:
        known: The letters.
    """

    known: str

    @property
    def identity(self) -> str:
        """The letters."""
        return repr(self)

    def __call__(self, texts: Sequence[str], length: int) -> Tensor:
        """Return tokens `(N, L)` as int32."""
        numbers = {letter: number for number, letter in enumerate(self.known, start=2)}
        return pad([[numbers.get(letter, 1) for letter in text[:length]] for text in texts])

    def vocabulary(self, texts: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the letters after padding and the unknown one."""
        return "", "\N{REPLACEMENT CHARACTER}", *self.known


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """Return rows of numbers as int32 `(N, L)`, padded to the longest; L is at least 1."""
    tokens = torch.full((len(rows), max([1, *map(len, rows)])), PADDING, dtype=torch.int32)
    for padded_row, row in zip(tokens, rows, strict=True):
        padded_row[: len(row)] = torch.tensor(row, dtype=torch.int32)
    return tokens
