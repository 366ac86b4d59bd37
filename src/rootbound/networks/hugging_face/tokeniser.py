"""The tokeniser that belongs to a pretrained text model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from rootbound.core.errors import InputError, explain_errors
from rootbound.data import PADDING
from rootbound.networks.block_outputs import exchange_padding
from rootbound.networks.hugging_face.configuration import (
    PRETRAINED,
    import_transformers,
    is_causal,
    read_configuration,
)
from rootbound.networks.hugging_face.passing import find_padding, list_paddings


@dataclass(frozen=True, eq=False)
class PretrainedTokeniser:
    """Pieces of words, numbered as a pretrained model numbers them, except that padding is 0.

    Args:
        inner: The tokeniser of `transformers`.
        padding: The model's own number for padding.
    """

    inner: Any
    padding: int

    @property
    def identity(self) -> str:
        """A digest of vocabulary and rules; empty where the library does not give them away."""
        backend = getattr(self.inner, "backend_tokenizer", None)
        if backend is None:
            return ""
        rules = json.loads(backend.to_str())
        # These are settings of the last call; the next call sets them again.
        rules |= {"truncation": None, "padding": None}
        names = [type(self.inner).__name__, *map(version, ("tokenizers", "transformers"))]
        identity = [names, self.padding, self.inner.truncation_side, rules]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @property
    def pieces(self) -> tuple[str, ...]:
        """The piece that each of the model's own numbers stands for."""
        pieces = self.inner.convert_ids_to_tokens(range(len(self.inner)))
        return tuple(piece or "" for piece in pieces)

    def vocabulary(self, texts: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the piece that each number stands for, which does not depend on the texts."""
        pieces = list(self.pieces)
        # A model may have more numbers than its tokeniser, and one of them for padding.
        pieces += [""] * (self.padding + 1 - len(pieces))
        pieces[PADDING], pieces[self.padding] = pieces[self.padding], pieces[PADDING]
        return tuple(pieces)

    def __call__(self, texts: Sequence[str], length: int) -> Tensor:
        """Return tokens `(N, L)` as int32; L is that of the longest text, at most `length`."""
        numbers = self.inner(list(texts), truncation=True, max_length=length)["input_ids"]
        # The library does not truncate if there is no room for the marks of beginning and end.
        rows = [torch.tensor(row[:length], dtype=torch.int32) for row in numbers]
        tokens = pad_sequence(rows, batch_first=True, padding_value=self.padding)
        if not tokens.shape[1]:
            tokens = functional.pad(tokens, (0, 1), value=self.padding)
        return exchange_padding(tokens, self.padding)


@dataclass(frozen=True, eq=False)
class CausalTokeniser(PretrainedTokeniser):
    """The tokeniser of a model that predicts tokens.

    Args:
        inner: The tokeniser of `transformers`.
        padding: The model's own number for padding.
        size: Number of tokens that the model knows; the tokeniser may know fewer.
    """

    size: int

    @property
    def pieces(self) -> tuple[str, ...]:
        """The piece that each of the model's own numbers stands for; empty if it is not used."""
        known = super().pieces[: self.size]
        return known + ("",) * (self.size - len(known))

    def predicted(self, tokens: Tensor) -> Tensor:
        """Return the number of the model's output for each token, as int64."""
        return exchange_padding(tokens, self.padding).long()


def pretrained_tokeniser(name: str) -> PretrainedTokeniser:
    """Return the tokeniser of a model in a folder or on the hub.

    Raises:
        InputError: There is none, or it has no number for padding.
    """
    inner, config = load_tokeniser(name), read_configuration(PRETRAINED + name)
    if config is None:  # `build` says why
        return PretrainedTokeniser(inner, inner.pad_token_id or PADDING)
    text = config.get_text_config()
    padding = find_padding(text)
    if padding == PADDING and PADDING not in (*list_paddings(text), *inner.all_special_ids):
        expected = f"a number for padding, or for the end of a text, in the config at {name}"
        raise InputError(expected, "none below vocab_size", "set pad_token_id or eos_token_id")
    if is_causal(config):
        return CausalTokeniser(inner, padding, text.vocab_size)
    return PretrainedTokeniser(inner, padding)


def load_tokeniser(name: str) -> Any:
    """Return the tokeniser of a model in a folder or on the hub, as a `transformers` object.

    Raises:
        InputError: There is none.
    """
    expected = f"a tokeniser of `transformers` at {name}"
    with explain_errors(expected, "check the name or the folder"):
        return import_transformers().AutoTokenizer.from_pretrained(name, trust_remote_code=False)
