"""Texts as numbers: what a tokeniser is, and two that need no files."""

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
        """Changes whenever a text would get other numbers; empty where that is unknown."""

    def __call__(self, texts: Sequence[str], length: int) -> Tensor:
        """Return tokens `(N, L)` as int32, cut after `length`; L is that of the longest text.

        A text has the same tokens whatever others are passed with it, as some of many are.
        """

    def vocabulary(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return what each number stands for, where it first occurs in these texts."""


@runtime_checkable
class Predicted(Tokeniser, Protocol):
    """A tokeniser of a causal language model: its tokens are what the model tells apart."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """What each output of the model stands for."""

    def predicted(self, tokens: Tensor) -> Tensor:
        """Return the number of the model's output for each token, int64."""


@dataclass(frozen=True)
class HashedWords:
    """Words in small letters, each numbered by a checksum: no vocabulary is kept or learned.

    K. Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009. Words that
    meet in one number are one word to a model; with 16,384 numbers and 10,000 words nearly
    every second word shares its number with another, mostly a rare one.

    Args:
        size: How many numbers there are, padding included.
    """

    size: int = 16384

    @property
    def identity(self) -> str:
        """Unicode's version decides what is a word, and which letters have small ones."""
        return f"{self!r} {WORD.pattern} Unicode {unicodedata.unidata_version}"

    def __call__(self, texts: Sequence[str], length: int) -> Tensor:
        """Return tokens `(N, L)` as int32."""
        numbered = [[self._number(word) for word in self._words(text, length)] for text in texts]
        return pad(numbered)

    def vocabulary(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return the first word of each number in these texts, empty where there is none."""
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
    """Letters, numbered from 2 on as given; 1 stands for any other.

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
    """Return rows of numbers `(N, L)` as int32, filled up to the longest, at least 1."""
    tokens = torch.full((len(rows), max([1, *map(len, rows)])), PADDING, dtype=torch.int32)
    for padded_row, row in zip(tokens, rows, strict=True):
        padded_row[: len(row)] = torch.tensor(row, dtype=torch.int32)
    return tokens
