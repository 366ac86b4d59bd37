"""How networks of `transformers` are called, and what goes from one of their blocks to the next."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import PADDING
from rootbound.networks.block_outputs import find_last, join_mask, split_mask, trim_padding
from rootbound.networks.blocks.passing import Passing

EXAMPLES = 2
IMAGE_SIZE, IMAGE_CHANNELS = 64, 3
"""Of networks whose configuration does not say it."""


def find_padding(config: Any) -> int:
    """Return a text model's own number for padding, or else for the end of a text."""
    for name in ("pad_token_id", "eos_token_id"):
        number = getattr(config, name, None)
        if isinstance(number, int) and 0 <= number < config.vocab_size:
            return number
    return PADDING


def exchange_padding(tokens: Tensor, padding: int) -> Tensor:
    """Return tokens in which 0, our padding, and a model's own number for it are exchanged.

    A second exchange undoes the first.
    """
    if padding == PADDING:
        return tokens
    swapped = torch.where(tokens == padding, PADDING, tokens)
    return torch.where(tokens == PADDING, padding, swapped)


def find_image_shape(config: Any) -> tuple[int, int, int]:
    """Return the shape of images that a network was made for, or one that it can take."""
    config = getattr(config, "vision_config", config)
    size = getattr(config, "image_size", None) or IMAGE_SIZE
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return getattr(config, "num_channels", IMAGE_CHANNELS), height, width


class Images(Passing):
    """Passes on the states of images.

    Args:
        config: The network's configuration.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.shape = find_image_shape(config)

    def example(self) -> Tensor:
        """Return inputs to run the network with."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(EXAMPLES, *self.shape, generator=generator)

    def finish(self, outputs: Any, given: Any) -> Tensor:
        """Return what the network has in place of logits."""
        logits: Tensor = outputs.logits
        return logits


class Texts(Passing):
    """Passes on the states of texts with their mask.

    Args:
        network: The network.
    """

    masked = True

    def __init__(self, network: Any) -> None:
        super().__init__()
        config = network.config.get_text_config()
        self.size, self.padding = config.vocab_size, find_padding(config)
        cached = "use_cache" in inspect.signature(network.forward).parameters
        self.options = {"use_cache": False} if cached else {}

    def example(self) -> Tensor:
        """Return tokens to run the network with, of texts of two lengths."""
        row: Tensor = torch.arange(4) % max(1, self.size - 1) + 1
        tokens = row.repeat(EXAMPLES, 1)
        tokens[-1, -1] = PADDING
        return tokens

    def prepare(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens in our numbers and their mask.

        Raises:
            InputError: The model has no such token.
        """
        tokens, mask = trim_padding(inputs)
        highest = int(tokens.max())
        if highest >= self.size:
            raise InputError(
                f"tokens below {self.size}",
                str(highest),
                "tokenise texts with the model's own tokeniser",
            )
        return tokens, mask

    def call(self, network: Any, given: tuple[Tensor, Tensor]) -> object:
        """Run the network with its own numbers."""
        tokens, mask = given
        outputs: object = network(
            input_ids=exchange_padding(tokens, self.padding),
            attention_mask=mask.long(),
            **self.options,
        )
        return outputs

    def finish(self, outputs: Any, given: tuple[Tensor, Tensor]) -> Tensor:
        """Return what the network has in place of logits, of the last token where of all."""
        logits: Tensor = outputs.logits
        if logits.dim() > 2:
            rows = torch.arange(len(logits), device=logits.device)
            logits = logits[rows, find_last(given[1])]
        return logits

    def join(self, state: Tensor, given: tuple[Tensor, Tensor]) -> Tensor:
        """Return states and mask, as `join_mask` does."""
        return join_mask(state, given[1])

    def part(self, passed: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the states, and tokens with the same mask."""
        states, mask = split_mask(passed)
        # Contiguous, as the network has them: a sum in another order is rounded otherwise.
        return states.contiguous(), (torch.where(mask, 1, PADDING), mask)
