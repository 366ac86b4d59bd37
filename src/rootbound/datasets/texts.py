"""Labelled texts, and the data sets made of them: of whole texts, or of what comes next."""

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
        texts: Texts of any length, the empty one too; they may stay in a file, as a column does.
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
    """Texts to learn from and to be judged on.

    Args:
        name: The name in reports.
        classes: The name of each class.
        train: Texts to learn from.
        test: Texts to be judged on.
        remarks: What was done to read them, in words; empty if they are as they were.
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
        """Return the data set of telling the classes of texts apart.

        Args:
            tokeniser: The tokeniser of a pretrained model; hashed words when left out.
            length: Tokens of a text at most.
            in_memory: GiB of tokens in memory at most; a part that may need more is tokenised into
                a file and read from there.

        Raises:
            InputError: There are no texts, or no space for that file.
        """
        tokeniser = tokeniser or HashedWords()
        parts = [
            Tokens(tokeniser, part.texts, length, in_memory) for part in (self.train, self.test)
        ]
        # One width for both: what is longer by padding is the same text.
        width = max(part.width for part in parts)
        train, test = (part.to_width(width) for part in parts)
        cut = f"texts cut after {length} tokens" if width == length else ""
        return Dataset(
            self.name,
            self.classes,
            Data(train, self.train.labels),
            Data(test, self.test.labels),
            # Texts that reports show come first: where words share a number, theirs is shown.
            tokeniser.vocabulary(chain(self._shown(), self.train.texts, self.test.texts)),
            "; ".join(filter(None, (self.remarks, cut))),
        )

    def next_tokens(self, tokeniser: Predicted, length: int = Layout.length) -> NextTokens:
        """Return the data set of telling which token of a causal language model comes next.

        All contexts are in memory, `length` tokens for each token of the texts.

        Args:
            tokeniser: The model's own.
            length: Tokens that it looks back at most.

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

    def _shown(self) -> list[str]:
        """Return the first test text of each class."""
        first: dict[int, int] = {}
        for row, label in enumerate(self.test.labels.tolist()):
            first.setdefault(label, row)
        return [self.test.texts[first[label]] for label in sorted(first)]

    def next_letters(
        self, desirable: Sequence[int], undesirable: Sequence[int], context: int = 32, step: int = 3
    ) -> TaskPair:
        """Return the pair of tasks to tell what letter comes next, in texts of some classes.

        The same letters are known in both tasks, those of the desirable training texts. Texts
        follow one another, a line each. A sample is `context` letters, and its label is the next
        one. All samples are in memory, however many: give fewer texts, or take larger steps.

        Args:
            desirable: Classes of the texts that a model must know how to continue.
            undesirable: Classes of those that it must not know.
            context: Letters that it sees.
            step: Letters between one sample and the next.

        Raises:
            InputError: A side has no texts, or fewer letters than a context.
        """
        letters = Letters("".join(sorted(set("\n".join([*self.train.texts_of(desirable), ""])))))
        pair = []
        for chosen in (desirable, undesirable):
            train, test = (
                _contexts("\n".join(part.texts_of(chosen)), letters, context, step)
                for part in (self.train, self.test)
            )
            known = letters.vocabulary()
            names = describe_names([self.classes[label] for label in chosen])
            pair.append(Task(f"{self.name}: {names}, next letter", known, train, test, known))
        return TaskPair.of(*pair)


def describe_empty(parts: Iterable[Labelled]) -> str:
    """Return how many texts hold nothing that a model could read, in words; empty if none does."""
    empty = [not text.strip() for part in parts for text in part.texts]
    return f"{sum(empty):,} of {len(empty):,} texts are empty" if any(empty) else ""


def _contexts(text: str, letters: Letters, context: int, step: int) -> Data:
    if len(text) <= context:
        raise InputError(f"more than {context} letters", str(len(text)), "bring more texts")
    windows = letters([text], len(text))[0].unfold(0, context + 1, step)
    return Data(windows[:, :-1].contiguous(), windows[:, -1].long(), stratified=False)
