"""Labelled texts, and data sets made from them: of whole texts, or of next tokens or letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import Data, Task, TaskPair
from rootbound.datasets.classes import describe_names
from rootbound.datasets.dataset import Dataset, Layout
from rootbound.datasets.next_tokens import NextTokens, read_contexts
from rootbound.datasets.tokenisers import HashedWords, Letters, Predicted, Tokeniser
from rootbound.datasets.tokens import Tokens


@dataclass(frozen=True, eq=False)
class Labelled:
    """Texts and the class of each.

    Args:
        texts: Texts of any length, also empty; they may stay in a file, as those of a column do.
        labels: `(N,)` int64, from 0.
    """

    texts: Sequence[str]
    labels: Tensor

    def texts_of(self, chosen: Sequence[int]) -> list[str]:
        """Return the texts of these classes."""
        wanted = torch.isin(self.labels, torch.tensor(chosen)).tolist()
        return [text for text, is_wanted in zip(self.texts, wanted, strict=True) if is_wanted]


@dataclass(frozen=True, eq=False)
class Texts:
    """Training and test texts.

    Args:
        name: The name in reports.
        classes: The name of each class.
        train: Training texts.
        test: Test texts.
        remarks: A description of how they were converted; empty if they were not.
    """

    name: str
    classes: tuple[str, ...]
    train: Labelled
    test: Labelled
    remarks: str = ""

    def tokenised(
        self,
        tokeniser: Tokeniser | None = None,
        length: int = Layout.length,
        in_memory: float = Layout.in_memory,
    ) -> Dataset:
        """Return the data set of classifying the texts.

        Args:
            tokeniser: The tokeniser of a pretrained model; if left out, words are hashed.
            length: Largest number of tokens of a text.
            in_memory: Most GiB of tokens in memory; a part that may need more is tokenised into a
                file and read from there.

        Raises:
            InputError: There are no texts, or no space for that file.
        """
        tokeniser = tokeniser or HashedWords()
        parts = [
            Tokens(tokeniser, part.texts, length, in_memory) for part in (self.train, self.test)
        ]
        # Both parts get the same width, because padding does not change a text.
        width = max(part.width for part in parts)
        train, test = (part.to_width(width) for part in parts)
        cut = f"texts cut after {length} tokens" if width == length else ""
        return Dataset(
            self.name,
            self.classes,
            Data(train, self.train.labels),
            Data(test, self.test.labels),
            # Texts in reports come first: if words share a number, their word is the one shown.
            tokeniser.vocabulary(chain(self._list_shown(), self.train.texts, self.test.texts)),
            "; ".join(filter(None, (self.remarks, cut))),
        )

    def next_tokens(self, tokeniser: Predicted, length: int = Layout.length) -> NextTokens:
        """Return the data set of predicting the next token of a causal language model.

        All contexts are in memory, `length` tokens for each token of the texts.

        Args:
            tokeniser: The model's own tokeniser.
            length: Largest number of tokens that it looks back.

        Raises:
            InputError: No text has two tokens.
        """
        (train, after), (test, after_test) = (
            read_contexts(part.texts, part.labels, tokeniser, length)
            for part in (self.train, self.test)
        )
        return NextTokens(
            self.name,
            self.classes,
            train,
            test,
            tokeniser.vocabulary(()),
            self.remarks,
            following=(after, after_test),
            outputs=tokeniser.pieces,
        )

    def _list_shown(self) -> list[str]:
        """Return the first test text of each class."""
        first: dict[int, int] = {}
        for row, label in enumerate(self.test.labels.tolist()):
            first.setdefault(label, row)
        return [self.test.texts[first[label]] for label in sorted(first)]

    def next_letters(
        self, desirable: Sequence[int], undesirable: Sequence[int], context: int = 32, step: int = 3
    ) -> TaskPair:
        """Return the pair of tasks to predict the next letter in texts of some classes.

        Both tasks know the same letters, those of the desirable training texts. Texts are joined,
        one per line. A sample is `context` letters, and its label is the next one. All samples are
        in memory: if there are too many, give fewer texts or a larger step.

        Args:
            desirable: Classes of the texts that a model should be able to continue.
            undesirable: Classes of the texts that it should not.
            context: Number of letters in a sample.
            step: Number of letters between the starts of two samples.

        Raises:
            InputError: A side has no texts, or fewer letters than a context.
        """
        letters = Letters("".join(sorted(set("\n".join([*self.train.texts_of(desirable), ""])))))
        pair = []
        for chosen in (desirable, undesirable):
            train, test = (
                _make_contexts("\n".join(part.texts_of(chosen)), letters, context, step)
                for part in (self.train, self.test)
            )
            known = letters.vocabulary()
            names = describe_names([self.classes[label] for label in chosen])
            pair.append(Task(f"{self.name}: {names}, next letter", known, train, test, known))
        return TaskPair.of(*pair)


def describe_empty(parts: Iterable[Labelled]) -> str:
    """Describe how many texts are empty for a model; return nothing if none is."""
    empty = [not text.strip() for part in parts for text in part.texts]
    return f"{sum(empty):,} of {len(empty):,} texts are empty" if any(empty) else ""


def _make_contexts(text: str, letters: Letters, context: int, step: int) -> Data:
    if len(text) <= context:
        raise InputError(f"more than {context} letters", str(len(text)), "bring more texts")
    windows = letters([text], len(text))[0].unfold(0, context + 1, step)
    return Data(windows[:, :-1].contiguous(), windows[:, -1].long(), stratified=False)
