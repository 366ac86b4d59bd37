"""Texts as what a causal language model is asked: which token follows, at every place of a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import PADDING, Data, Task
from rootbound.datasets.dataset import Dataset
from rootbound.datasets.tokenisers import Predicted

AT_ONCE = 64
"""Texts that are tokenised at a time, as wide as the longest of them."""
WHOLE = 2**31 - 1
"""Tokens of a text, at most: all of them."""


@dataclass(frozen=True, eq=False)
class NextTokens(Dataset):
    """Contexts in texts of some classes; a task is to tell the token that follows.

    A sample is what stands before a token in its text, as far as the model looks back. There is
    one for every token but the first, so that the mean cross-entropy is the model's loss a token.
    The classes choose among the texts, and one of them is enough for a task.

    Args:
        following: for training and test samples, the number of the token after each `(N,)`.
        outputs: what each of these numbers stands for.
    """

    following: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))
    outputs: tuple[str, ...] = ()
    fewest: ClassVar[int] = 1

    def task(self, chosen: Sequence[int]) -> Task:
        """Return the task of telling the next token in texts of the chosen classes.

        Raises:
            InputError: a class does not exist or is named twice, or its texts are too short.
        """
        self.check_classes(chosen)
        train, test = (
            _followed(data, tokens, chosen)
            for data, tokens in zip((self.train, self.test), self.following, strict=True)
        )
        name = f"{self.name}: {', '.join(self.classes[label] for label in chosen)}, next token"
        return Task(name, self.outputs, train, test, self.vocabulary, self.conversion)


def contexts(
    texts: Sequence[str], labels: Tensor, tokeniser: Predicted, length: int
) -> tuple[Data, Tensor]:
    """Return what stands before each token of the texts but the first, and the tokens.

    Args:
        texts: read in order, a part at a time.
        labels: the class of each `(N,)`.
        tokeniser: the model's own.
        length: tokens of a context at most.

    Returns:
        Contexts `(M, length)`, filled up with padding, with the class of their text; and the
        numbers `(M,)` of the model's outputs for the tokens that follow.

    Raises:
        InputError: no text has two tokens.
    """
    parts = list(_parts(texts, tokeniser, length))
    if not sum(len(after) for _, after, _ in parts):
        raise InputError("texts of two tokens or more", "none", "bring longer texts")
    before, after, places = (torch.cat(column) for column in zip(*parts, strict=True))
    return Data(before, labels[places], stratified=False), after


def _parts(
    texts: Sequence[str], tokeniser: Predicted, length: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield contexts, what follows them, and the places of their texts, of some texts at a time."""
    steps = torch.arange(length)
    for start in range(0, len(texts), AT_ONCE):
        tokens = tokeniser(texts[start : start + AT_ONCE], WHOLE)
        # A text may hold the mark for padding, so that not every one is at its end.
        filled = (tokens != PADDING).flip(1).cumsum(1).flip(1) > 0
        filled[:, 0] = False
        text, place = filled.nonzero(as_tuple=True)
        first = (place - length).clamp_min(0)
        read = first.unsqueeze(1) + steps
        known = tokens[text.unsqueeze(1), read.clamp_max(tokens.shape[1] - 1)]
        before = torch.where(read < place.unsqueeze(1), known, PADDING)
        yield before, tokeniser.predicted(tokens[text, place]), start + text


def _followed(data: Data, tokens: Tensor, chosen: Sequence[int]) -> Data:
    """Return the samples of some classes of texts, labelled by the token that follows."""
    kept = torch.isin(data.labels, torch.tensor(list(chosen))).nonzero().squeeze(1)
    if not len(kept):
        raise InputError("texts of the chosen classes", "none", "check the class list")
    return replace(data.select(kept), labels=tokens[kept])
