"""Parts of a network of `transformers` as blocks that pass one tensor on.

Between the blocks of a text model go states and mask in one tensor, as in `models/sequence.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.data import PADDING
from rootbound.networks.block_outputs import find_last, join_mask, split_mask, trim_padding

MARK = "_is_hf_initialized"
"""What the library sets on weights that its initialisation shall leave alone."""


def check_known(tokens: Tensor, vocabulary: int) -> None:
    """Raise an `InputError` where a model has no such token."""
    highest = int(tokens.max())
    if highest >= vocabulary:
        raise InputError(
            f"tokens below {vocabulary}",
            str(highest),
            "tokenise texts with the model's own tokeniser",
        )


def find_padding(config: Any) -> int:
    """Return a text model's own number for padding: what it says, or else for a text's end."""
    for name in ("pad_token_id", "eos_token_id"):
        number = getattr(config, name, None)
        if isinstance(number, int) and 0 <= number < config.vocab_size:
            return number
    return PADDING


def exchange_padding(tokens: Tensor, padding: int) -> Tensor:
    """Return tokens with 0, which is padding to us, and a model's own number for it exchanged.

    Exchanged again, they are as before.
    """
    if padding == PADDING:
        return tokens
    swapped = torch.where(tokens == padding, PADDING, tokens)
    return torch.where(tokens == PADDING, padding, swapped)


class Block(nn.Module):
    """A part of a network, whose new random weights are drawn as the library draws them.

    Args:
        network: whose part it is; only its class and configuration are kept.
        parts: modules of it, by name.
    """

    resets_children = True

    def __init__(self, network: Any, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.kind, self.config = type(network), network.config

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        with torch.device("meta"):  # only its configuration is read: no memory
            shell = self.kind(self.config)
        with torch.no_grad():
            # Children before what holds them, which changes some of theirs.
            for part in reversed(list(self.modules())[1:]):
                for value in (part, *part.parameters(False), *part.buffers(False)):
                    value.__dict__.pop(MARK, None)
                shell._init_weights(part)

    def __deepcopy__(self, memory: dict[int, Any]) -> Block:
        """Return a copy that shares the configuration, which nobody changes."""
        fresh = type(self).__new__(type(self))
        memory[id(self)] = fresh
        shared = {"config", "kind"}
        for name, value in self.__dict__.items():
            fresh.__dict__[name] = value if name in shared else copy.deepcopy(value, memory)
        return fresh


class Images(Block):
    """Any part that maps one tensor to one."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the parts make of inputs, one after another."""
        for part in self.children():
            inputs = part(inputs)
        return inputs


class Pooled(Block):
    """The last part of an image model: states to features `(N, D)`."""

    def forward(self, states: Tensor) -> Tensor:
        """Return the norm of the first token, or of the mean over places."""
        norm = self.get_submodule("norm")
        pooled: Tensor = norm(states)[:, 0] if states.dim() == 3 else norm(states.mean((2, 3)))
        return pooled


class Words(Block):
    """A text model's embeddings of tokens `(N, L)`."""

    masked = True

    def forward(self, tokens: Tensor) -> Tensor:
        """Return states and mask."""
        tokens, mask = trim_padding(tokens)
        check_known(tokens, self.config.vocab_size)
        own = exchange_padding(tokens, find_padding(self.config))
        return join_mask(self.get_submodule("embeddings")(own), mask)


class Layer(Block):
    """A text model's layer."""

    masked = True

    def forward(self, outputs: Tensor) -> Tensor:
        """Return states and mask."""
        states, mask = split_mask(outputs)
        return join_mask(self.get_submodule("layer")(states, attention_mask=self.seen(mask)), mask)

    def seen(self, mask: Tensor) -> Tensor:
        """Return 0 where a token is seen, and the lowest number elsewhere, `(N, 1, 1, L)`."""
        lowest = torch.finfo(torch.float32).min
        return torch.where(mask, 0.0, lowest)[:, None, None]


class First(Block):
    """The last part of a text model: the first token's state, through what precedes the head."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Return features `(N, D)`."""
        features = split_mask(outputs)[0][:, 0]
        for part in self.children():
            features = part(features)
        return features


class Places(Block):
    """A causal model's embeddings of tokens and places."""

    masked = True

    def forward(self, tokens: Tensor) -> Tensor:
        """Return states and mask."""
        tokens, mask = trim_padding(tokens)
        check_known(tokens, self.config.vocab_size)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        own = exchange_padding(tokens, find_padding(self.config))
        states = self.get_submodule("tokens")(own) + self.get_submodule("places")(places)
        return join_mask(self.get_submodule("drop")(states), mask)


class CausalLayer(Layer):
    """A causal model's layer: a token sees those before it and itself."""

    def seen(self, mask: Tensor) -> Tensor:
        """Return 0 where a token is seen, and the lowest number elsewhere, `(N, 1, L, L)`."""
        length = mask.shape[1]
        earlier = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
        lowest = torch.finfo(torch.float32).min
        return torch.where(mask[:, None, None] & earlier, 0.0, lowest)


class Last(Block):
    """The last part of a causal model: the last token's state."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Return features `(N, D)`."""
        states, mask = split_mask(outputs)
        ends = states[torch.arange(len(states)), find_last(mask)]
        normed: Tensor = self.get_submodule("norm")(ends)
        return normed


def _bert(network: Any) -> list[Block]:
    body = network.base_model
    return [
        Words(network, embeddings=body.embeddings),
        *(Layer(network, layer=layer) for layer in body.encoder.layer),
        First(network, dense=body.pooler.dense, tanh=nn.Tanh(), dropout=network.dropout),
    ]


def _roberta(network: Any) -> list[Block]:
    body, head = network.base_model, network.classifier
    return [
        Words(network, embeddings=body.embeddings),
        *(Layer(network, layer=layer) for layer in body.encoder.layer),
        First(network, before=head.dropout, dense=head.dense, tanh=nn.Tanh(), dropout=head.dropout),
    ]


def _distilbert(network: Any) -> list[Block]:
    body = network.base_model
    return [
        Words(network, embeddings=body.embeddings),
        *(Layer(network, layer=layer) for layer in body.transformer.layer),
        First(network, dense=network.pre_classifier, relu=nn.ReLU(), dropout=network.dropout),
    ]


def _gpt2(network: Any) -> list[Block]:
    body = network.base_model
    return [
        Places(network, tokens=body.wte, places=body.wpe, drop=body.drop),
        *(CausalLayer(network, layer=layer) for layer in body.h),
        Last(network, norm=body.ln_f),
    ]


def _vit(network: Any) -> list[Block]:
    body = network.base_model
    return [
        Images(network, embeddings=body.embeddings),
        *(Images(network, layer=layer) for layer in body.layers),
        Pooled(network, norm=body.layernorm),
    ]


def _resnet(network: Any) -> list[Block]:
    body = network.base_model
    return [
        Images(network, embedder=body.embedder),
        *(Images(network, stage=stage) for stage in body.encoder.stages[:-1]),
        Images(network, stage=body.encoder.stages[-1], pooler=body.pooler, flat=nn.Flatten()),
    ]


def _convnext(network: Any) -> list[Block]:
    body = network.base_model
    return [
        Images(network, embeddings=body.embeddings),
        *(Images(network, stage=stage) for stage in body.encoder.stages),
        Pooled(network, norm=body.layernorm),
    ]


FAMILIES: dict[str, tuple[Callable[[Any], list[Block]], str, str]] = {
    "bert": (_bert, "AutoModelForSequenceClassification", "classifier"),
    "roberta": (_roberta, "AutoModelForSequenceClassification", "classifier.out_proj"),
    "distilbert": (_distilbert, "AutoModelForSequenceClassification", "classifier"),
    "gpt2": (_gpt2, "AutoModelForCausalLM", "lm_head"),
    "vit": (_vit, "AutoModelForImageClassification", "classifier"),
    "resnet": (_resnet, "AutoModelForImageClassification", "classifier.1"),
    "convnext": (_convnext, "AutoModelForImageClassification", "classifier"),
}
"""By the configuration's `model_type`: the blocks, the class for the task, the head's name."""
