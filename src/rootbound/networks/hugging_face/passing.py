"""How networks of `transformers` are called, and what their blocks pass on to each other."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import PADDING
from rootbound.networks.block_outputs import exchange_padding, find_last
from rootbound.networks.blocks.passing import MaskedPassing

IMAGE_SIZE, CHANNELS = 64, 3
"""Image size and channels of networks whose configuration does not say them."""


def find_padding(config: Any) -> int:
    """Return a text model's own number for padding; if it has none, that for the end of a text."""
    usable = (number for number in list_paddings(config) if 0 <= number < config.vocab_size)
    return next(usable, PADDING)


def list_paddings(config: Any) -> list[int]:
    """Return the numbers that may stand for padding: a text model's own, then all for an end."""
    ends = getattr(config, "eos_token_id", None)
    several = ends if isinstance(ends, list | tuple) else (ends,)
    stated = (getattr(config, "pad_token_id", None), *several)
    return [number for number in stated if isinstance(number, int)]


def make_example(config: Any, *, of_texts: bool) -> Tensor:
    """Return inputs to run a network with: two images, or two texts of different lengths."""
    if not of_texts:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(2, *find_image_shape(config), generator=generator)
    tokens = [number % max(1, config.get_text_config().vocab_size - 1) + 1 for number in range(4)]
    return torch.tensor([tokens, [*tokens[:-1], PADDING]])


def find_image_shape(config: Any) -> tuple[int, int, int]:
    """Return the shape of images that a network was made for, or one that it can take."""
    config = getattr(config, "vision_config", config)
    size = getattr(config, "image_size", None) or IMAGE_SIZE
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return getattr(config, "num_channels", CHANNELS), height, width


class Texts(MaskedPassing):
    """Passes on the states of texts with their mask.

    Args:
        network: The network.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        config = network.config.get_text_config()
        self.size, self.padding = config.vocab_size, find_padding(config)
        cached = "use_cache" in inspect.signature(network.forward).parameters
        self.options = {"use_cache": False} if cached else {}

    def prepare(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens in our numbers and their mask.

        Raises:
            InputError: The model has no such token.
        """
        tokens, mask = super().prepare(inputs)
        highest = int(tokens.max())
        if highest >= self.size:
            raise InputError(f"tokens below {self.size}", str(highest), "use its own tokeniser")
        return tokens, mask

    def call(self, network: Any, given: tuple[Tensor, Tensor]) -> object:
        """Run the network with its own numbers."""
        tokens, mask = given
        numbers = exchange_padding(tokens, self.padding)
        outputs: object = network(input_ids=numbers, attention_mask=mask.long(), **self.options)
        return outputs

    def finish(self, outputs: object, given: tuple[Tensor, Tensor]) -> Tensor:
        """Return the network's logits or features; of those for all tokens, the last token's."""
        logits = super().finish(outputs, given)
        if logits.dim() > 2:
            logits = logits[torch.arange(len(logits), device=logits.device), find_last(given[1])]
        return logits
