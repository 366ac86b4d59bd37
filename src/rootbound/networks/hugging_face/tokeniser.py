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

from rootbound.core.errors import InputError
from rootbound.data import PADDING
from rootbound.networks.hugging_face.blocks import exchange_padding, find_padding
from rootbound.networks.hugging_face.network import (
    PRETRAINED,
    import_transformers,
    is_causal,
    read_configuration,
)


@dataclass(frozen=True, eq=False)
class PretrainedTokeniser:
    """Words in pieces, numbered as a pretrained model knows them; padding is 0 here.

    Args:
        inner: the tokeniser of `transformers`.
        padding: the model's own number for it.
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
        # What the last call asked for, and the next one asks for anew.
        for name in ("truncation", "padding"):
            rules.pop(name, None)
        own = [self.padding, self.inner.truncation_side]
        versions = [version(name) for name in ("tokenizers", "transformers")]
        described = json.dumps([type(self.inner).__name__, *own, *versions, rules], sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()

    @property
    def pieces(self) -> tuple[str, ...]:
        """What each of the model's own numbers stands for."""
        found = self.inner.convert_ids_to_tokens(range(len(self.inner)))
        return tuple(piece or "" for piece in found)

    def vocabulary(self, texts: Iterable[str] = ()) -> tuple[str, ...]:
        """Return what each number stands for, in whatever texts."""
        pieces = list(self.pieces)
        pieces[PADDING], pieces[self.padding] = pieces[self.padding], pieces[PADDING]
        return tuple(pieces)

    def __call__(self, texts: Sequence[str], length: int) -> Tensor:
        """Return tokens `(N, L)` as int32, cut after `length`, L the longest of them."""
        found = self.inner(list(texts), truncation=True, max_length=length)["input_ids"]
        # Where there is no room for the marks of beginning and end, it does not cut.
        rows = [torch.tensor(row[:length], dtype=torch.int32) for row in found]
        tokens = pad_sequence(rows, batch_first=True, padding_value=self.padding)
        if not tokens.shape[1]:
            tokens = functional.pad(tokens, (0, 1), value=self.padding)
        return exchange_padding(tokens, self.padding)


@dataclass(frozen=True, eq=False)
class CausalTokeniser(PretrainedTokeniser):
    """The same of a model that predicts tokens.

    Args:
        inner: the tokeniser of `transformers`.
        padding: the model's own number for it.
        size: how many tokens the model tells apart; the tokeniser may know fewer.
    """

    size: int

    @property
    def pieces(self) -> tuple[str, ...]:
        """What each of the model's own numbers stands for, nothing where it is not in use."""
        known = super().pieces[: self.size]
        return known + ("",) * (self.size - len(known))

    def predicted(self, tokens: Tensor) -> Tensor:
        """Return the number of the model's output for each token, int64."""
        return exchange_padding(tokens, self.padding).long()


def pretrained_tokeniser(name: str) -> PretrainedTokeniser:
    """Return the tokeniser of a model's folder, or of the hub.

    Raises:
        InputError: there is none, or it does not pad.
    """
    inner = load_tokeniser(name)
    config = read_configuration(PRETRAINED + name)
    if config is not None and is_causal(config):
        padding = find_padding(config)
        named = PADDING in (config.pad_token_id, config.eos_token_id)
        if padding == PADDING and not named and PADDING not in inner.all_special_ids:
            raise InputError(
                f"a number for padding, or for the end of a text, in the configuration at {name}",
                "none below vocab_size",
                "set pad_token_id or eos_token_id in config.json",
            )
        return CausalTokeniser(inner, padding, config.vocab_size)
    if inner.pad_token_id is None:
        raise InputError(f"a tokeniser that pads at {name}", "one that does not", "choose another")
    return PretrainedTokeniser(inner, inner.pad_token_id)


def load_tokeniser(name: str) -> Any:
    """Return the tokeniser of a model's folder, or of the hub, as `transformers` has it.

    Raises:
        InputError: there is none.
    """
    try:
        return import_transformers().AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except InputError:
        raise
    except Exception as error:  # of whatever a strange folder or the network does
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"a tokeniser of `transformers` at {name}", reason, "check the name or the folder"
        ) from None
