"""Texts for a causal language model: the task is to predict the next token at every position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import PADDING, Data, Task
from rootbound.datasets.classes import describe_names
from rootbound.datasets.dataset import Chosen, Dataset
from rootbound.datasets.tokenisers import Predicted

AT_ONCE = 64
"""Number of texts that are tokenised at a time; each is padded to the longest of them."""
UNLIMITED = 2**31 - 1
"""A largest number of tokens that cuts no text."""


@dataclass(frozen=True, eq=False, repr=False)
class NextTokens(Dataset):
    """Contexts in texts of some classes; a task is to predict the token that follows.

    A sample is the tokens before a token in its text, as far as the model looks back. There is a
    sample for every token but the first of a text, so that the mean cross-entropy is the model's
    loss per token. The classes select texts, and one class is enough for a task.

    Args:
        following: For training and test samples, the number of the token after each `(N,)`.
        outputs: The token of each of these numbers.
    """

    following: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))
    outputs: tuple[str, ...] = ()
    fewest_classes: ClassVar[int] = 1

    def task(self, chosen: Chosen) -> Task:
        """Return the task of predicting the next token in texts of the chosen classes.

        Raises:
            InputError: A class does not exist or is named twice, or its texts are too short.
        """
        labels = self.labels_of(chosen)
        train, test = (
            _select(data, tokens, labels)
            for data, tokens in zip((self.train, self.test), self.following, strict=True)
        )
        name = f"{self.name}: {describe_names(self.names_of(labels))}, next token"
        return Task(name, self.outputs, train, test, self.vocabulary, self.conversion)


def read_contexts(
    texts: Sequence[str], labels: Tensor, tokeniser: Predicted, length: int
) -> tuple[Data, Tensor]:
    """Return the context of each token of the texts but the first, and these tokens.

    Args:
        texts: The texts, which are read in order, a part at a time.
        labels: The class of each text `(N,)`.
        tokeniser: The model's own tokeniser.
        length: Largest number of tokens of a context.

    Returns:
        Padded contexts `(M, length)` with the class of their text; and the numbers `(M,)` of the
        model's outputs for the tokens that follow.

    Raises:
        InputError: No text has two tokens.
    """
    steps = torch.arange(length)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for start in range(0, len(texts), AT_ONCE):
        tokens = tokeniser(texts[start : start + AT_ONCE], UNLIMITED)
        # A text may contain the token for padding, so padding is not only at its end.
        filled = (tokens != PADDING).flip(1).cumsum(1).flip(1) > 0
        filled[:, 0] = False
        text, position = filled.nonzero(as_tuple=True)
        first = (position - length).clamp_min(0)
        read = first.unsqueeze(1) + steps
        known = tokens[text.unsqueeze(1), read.clamp_max(tokens.shape[1] - 1)]
        context = torch.where(read < position.unsqueeze(1), known, PADDING)
        parts.append((context, tokeniser.predicted(tokens[text, position]), start + text))
    if not sum(len(following) for _, following, _ in parts):
        raise InputError("texts of at least two tokens", "none", "bring longer texts")
    before, after, text_numbers = (torch.cat(column) for column in zip(*parts, strict=True))
    return Data(before, labels[text_numbers], stratified=False), after


def _select(data: Data, tokens: Tensor, chosen: Sequence[int]) -> Data:
    """Return the samples of some classes of texts, labelled by the token that follows."""
    rows = torch.isin(data.labels, torch.tensor(list(chosen))).nonzero().squeeze(1)
    if not len(rows):
        raise InputError("texts of the chosen classes", "none", "check the class list")
    return replace(data.select(rows), labels=tokens[rows])
