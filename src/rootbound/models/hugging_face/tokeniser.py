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

from rootbound.data import PADDING
from rootbound.errors import InputError
from rootbound.models.hugging_face.network import library


@dataclass(frozen=True, eq=False)
class PretrainedTokeniser:
    """Words in pieces, numbered as a pretrained model knows them; padding is 0 here.

    Args:
        inner: the tokeniser of `transformers`.
    """

    inner: Any

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
        own = [getattr(self.inner, name) for name in ("pad_token_id", "truncation_side")]
        versions = [version(name) for name in ("tokenizers", "transformers")]
        described = json.dumps([type(self.inner).__name__, *own, *versions, rules], sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()

    def vocabulary(self, texts: Iterable[str] = ()) -> tuple[str, ...]:
        """Return what each number stands for, in whatever texts."""
        pieces: list[str] = self.inner.convert_ids_to_tokens(range(len(self.inner)))
        padding = self.inner.pad_token_id
        pieces[PADDING], pieces[padding] = pieces[padding], pieces[PADDING]
        return tuple(pieces)

    def __call__(self, texts: Sequence[str], length: int) -> Tensor:
        """Return tokens `(N, L)` as int32, cut after `length`, L the longest of them."""
        found = self.inner(
            list(texts),
            truncation=True,
            max_length=length,
            padding="longest",
            padding_side="right",
        )
        # Where there is no room for the marks of beginning and end, it does not cut.
        tokens = torch.tensor(found["input_ids"], dtype=torch.int32)[:, :length]
        padding = self.inner.pad_token_id
        if padding == PADDING:
            return tokens
        swapped = torch.where(tokens == PADDING, padding, tokens)
        return torch.where(tokens == padding, PADDING, swapped)


def pretrained_tokeniser(name: str) -> PretrainedTokeniser:
    """Return the tokeniser of a model's folder, or of the hub.

    Raises:
        InputError: there is none, or it does not pad.
    """
    try:
        inner = library().AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except InputError:
        raise
    except Exception as error:  # of whatever a strange folder or the network does
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"a tokeniser of `transformers` at {name}", reason, "check the name or the folder"
        ) from None
    if inner.pad_token_id is None:
        raise InputError(f"a tokeniser that pads at {name}", "one that does not", "choose another")
    return PretrainedTokeniser(inner)
