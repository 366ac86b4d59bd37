"""Labelled texts, and the data sets they become: of whole texts, or of what comes next in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.data import Data
from rootbound.datasets.dataset import Dataset
from rootbound.datasets.layout import AS_FOUND
from rootbound.datasets.remembered import remembered
from rootbound.datasets.tokenisers import HashedWords, Letters, Tokeniser
from rootbound.errors import InputError
from rootbound.tasks import Task, TaskPair


@dataclass(frozen=True, eq=False)
class Labelled:
    """Texts and the class of each.

    Args:
        texts: any number of letters each.
        labels: `(N,)` int64, from 0.
    """

    texts: tuple[str, ...]
    labels: Tensor

    def of(self, chosen: Sequence[int]) -> list[str]:
        """Return the texts of these classes."""
        wanted = torch.isin(self.labels, torch.tensor(chosen)).tolist()
        return [text for text, kept in zip(self.texts, wanted, strict=True) if kept]


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts to learn from and to be judged on.

    Args:
        name: as it shall appear in reports.
        classes: the name of each class.
        train: to learn from.
        test: to be judged on.
    """

    name: str
    classes: tuple[str, ...]
    train: Labelled
    test: Labelled

    def tokenised(
        self, tokeniser: Tokeniser | None = None, length: int = AS_FOUND.length
    ) -> Dataset:
        """Return the data set of telling the classes of texts apart.

        Args:
            tokeniser: that of a pretrained model; hashed words when left out.
            length: tokens of a text at most.
        """
        tokeniser = tokeniser or HashedWords()
        parts = [_tokens(tokeniser, part.texts, length) for part in (self.train, self.test)]
        longest = max(tokens.shape[1] for tokens in parts)
        # One width for both: what is longer by padding is the same text.
        filled = [functional.pad(one, (0, longest - one.shape[1])) for one in parts]
        return Dataset(
            self.name,
            self.classes,
            Data(filled[0], self.train.labels),
            Data(filled[1], self.test.labels),
            # Texts that reports show come first: where words share a number, theirs are right.
            tokeniser.vocabulary((*self._shown(), *self.train.texts, *self.test.texts)),
        )

    def _shown(self) -> list[str]:
        """Return the first test text of each class."""
        labels = self.test.labels.tolist()
        places = (labels.index(one) for one in range(len(self.classes)) if one in labels)
        return [self.test.texts[place] for place in places]

    def next_letters(
        self, desirable: Sequence[int], undesirable: Sequence[int], context: int = 32, step: int = 3
    ) -> TaskPair:
        """Return the pair of tasks to tell what letter comes next, in texts of some classes.

        The same letters are known in both tasks, those of the desirable training texts. Texts
        follow one another, a line each; a sample is a number of letters, its label the next.

        Args:
            desirable: classes of the texts that a model shall know how to go on with.
            undesirable: classes of those that it shall not.
            context: letters that it sees.
            step: letters between one sample and the next.

        Raises:
            InputError: a side has no texts, or fewer letters than a context.
        """
        letters = Letters("".join(sorted(set("\n".join([*self.train.of(desirable), ""])))))
        both = []
        for chosen in (desirable, undesirable):
            train, test = (
                _contexts("\n".join(part.of(chosen)), letters, context, step)
                for part in (self.train, self.test)
            )
            known = letters.vocabulary()
            names = ", ".join(self.classes[label] for label in chosen)
            both.append(Task(f"{self.name}: {names}, next letter", known, train, test, known))
        return TaskPair.of(*both)


def _tokens(tokeniser: Tokeniser, texts: Sequence[str], length: int) -> Tensor:
    """Return tokens as they were found before, where the tokeniser says what it is."""
    if not tokeniser.identity:
        return tokeniser(texts, length)
    contents = hashlib.sha256()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        contents.update(len(encoded).to_bytes(8, "little") + encoded)
    source = f"tokens {length} {contents.hexdigest()} {tokeniser.identity}"
    return remembered(source, partial(tokeniser, texts, length))


def _contexts(text: str, letters: Letters, context: int, step: int) -> Data:
    if len(text) <= context:
        raise InputError(f"more than {context} letters", str(len(text)), "bring more texts")
    windows = letters([text], len(text))[0].unfold(0, context + 1, step)
    return Data(windows[:, :-1].contiguous(), windows[:, -1].long(), stratified=False)
