"""A small transformer for short texts, trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rootbound.core.devices import set_seed
from rootbound.core.errors import InputError
from rootbound.core.fields import Range, require_whole
from rootbound.networks.block_outputs import (
    BAG_SIZE,
    average_states,
    bag_tokens,
    join_mask,
    split_mask,
    trim_padding,
)
from rootbound.networks.classifier import Classifier
from rootbound.networks.vit import HEAD_WIDTH, TransformerBlock, check_width
from rootbound.networks.wrapping import explain_wrong_arguments


class Words(nn.Module):
    """A vector for every token, and one for its position.

    Args:
        vocabulary: Number of tokens; 0 is padding.
        length: Most tokens of a text.
        width: Width of a vector.
    """

    masked = True

    def __init__(self, vocabulary: int, length: int, width: int) -> None:
        super().__init__()
        self.meanings = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(length, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the vectors anew, with a small deviation: large ones drown what is learned."""
        for embedding in (self.meanings, self.places):
            nn.init.normal_(embedding.weight, std=0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return states and mask `(N, L, width + 1)` of tokens `(N, L)`."""
        tokens, mask = trim_padding(tokens)
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        # Numbers beyond the vocabulary start again from the first, so that any tokeniser will do.
        numbers = tokens % self.meanings.num_embeddings
        return join_mask(self.meanings(numbers) + self.places(positions), mask)


class MaskedBlock(nn.Module):
    """A transformer block whose tokens do not attend to padding."""

    masked = True

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.block = TransformerBlock(width, heads)

    def forward(self, outputs: Tensor) -> Tensor:
        """Return states and mask `(N, L, width + 1)`."""
        states, mask = split_mask(outputs)
        return join_mask(self.block(states, mask), mask)


class MeanOverWords(nn.Module):
    """The mean of a text's states, normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, outputs: Tensor) -> Tensor:
        """Return `(N, width)`."""
        states, mask = split_mask(outputs)
        return average_states(self.norm(states), mask)


class BagOfWords(nn.Module):
    """The share of each token in a text: a model without any weights."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Return `(N, BAG_SIZE)`."""
        return bag_tokens(tokens)


def bag_of_words(classes: int) -> Classifier:
    """Return a linear model of the share of each token in a text."""
    return Classifier(nn.Sequential(BagOfWords()), nn.Linear(BAG_SIZE, classes))


@explain_wrong_arguments
def small_text(
    classes: int,
    shape: tuple[int, ...] = (64,),
    seed: int = 0,
    vocabulary: int = 16384,
    width: int = 96,
    depth: int = 2,
) -> Classifier:
    """Return a small transformer for texts: two blocks of width 96, three heads, mean over words.

    Args:
        classes: Number of classes.
        shape: Most tokens of a text, as `(length,)`.
        seed: Seed of the weights.
        vocabulary: Number of tokens.
        width: Width of a token's state, a multiple of 32.
        depth: Number of blocks.

    Raises:
        InputError: The shape is not of texts, or another argument is wrong.
    """
    if not isinstance(shape, Sequence) or len(shape) != 1:
        raise InputError("texts, of (length,) tokens", f"shape {shape!r}", "choose another model")
    require_whole("the length of a text", shape[0], Range(at_least=1))
    check_width(width)
    with torch.random.fork_rng(devices=[]):
        set_seed(seed)
        blocks: list[nn.Module] = [MaskedBlock(width, width // HEAD_WIDTH) for _ in range(depth)]
        last = nn.Sequential(blocks.pop(), MeanOverWords(width))
        backbone = nn.Sequential(Words(vocabulary, shape[0], width), *blocks, last)
        return Classifier(backbone, nn.Linear(width, classes), "small_text")
