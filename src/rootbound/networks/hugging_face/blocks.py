"""Parts of a network of `transformers` as blocks, each of which passes on one tensor."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.data import PADDING
from rootbound.networks.block_outputs import find_last, join_mask, split_mask, trim_padding

INITIALISED = "_is_hf_initialized"
"""Attribute of weights that the library's initialisation leaves alone."""
CAUSAL = "AutoModelForCausalLM"


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


class Block(nn.Module):
    """A part of a network, whose new random weights are drawn as the library draws them.

    Args:
        network: The network; only its class and configuration are kept.
        parts: The modules of the part, by name.
    """

    resets_children = True

    def __init__(self, network: Any, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.network_class, self.config = type(network), network.config

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        with torch.device("meta"):  # only its initialisation is called: no memory
            shell = self.network_class(self.config)
        with torch.no_grad():
            # Children first: the module that holds them changes some of their weights.
            for part in reversed(list(self.modules())[1:]):
                for value in (part, *part.parameters(False), *part.buffers(False)):
                    value.__dict__.pop(INITIALISED, None)
                shell._init_weights(part)

    def __deepcopy__(self, memory: dict[int, Any]) -> Block:
        """Return a copy that shares the configuration, which nobody changes."""
        copied = type(self).__new__(type(self))
        memory[id(self)] = copied
        shared = {"config", "network_class"}
        for name, value in self.__dict__.items():
            copied.__dict__[name] = value if name in shared else copy.deepcopy(value, memory)
        return copied


class Images(Block):
    """A part of an image model: its modules, one after another."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the output of the last module."""
        for part in self.children():
            inputs = part(inputs)
        return inputs


class PooledImages(Block):
    """The last part of an image model: states to features `(N, D)`."""

    def forward(self, states: Tensor) -> Tensor:
        """Return the normalised first token, or the normalised mean of a map over its pixels."""
        norm = self.get_submodule("norm")
        pooled: Tensor = norm(states)[:, 0] if states.dim() == 3 else norm(states.mean((2, 3)))
        return pooled


class Embeddings(Block):
    """A text model's embeddings of tokens `(N, L)`."""

    masked = True

    def forward(self, tokens: Tensor) -> Tensor:
        """Return states and mask, as `join_mask` does.

        Raises:
            InputError: The model has no such token.
        """
        tokens, mask = trim_padding(tokens)
        highest = int(tokens.max())
        if highest >= self.config.vocab_size:
            raise InputError(
                f"tokens below {self.config.vocab_size}",
                str(highest),
                "tokenise texts with the model's own tokeniser",
            )
        return join_mask(self.embed(exchange_padding(tokens, find_padding(self.config))), mask)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return states `(N, L, D)` of tokens in the model's own numbers."""
        states: Tensor = self.get_submodule("embeddings")(tokens)
        return states


class CausalEmbeddings(Embeddings):
    """A causal model's embeddings of tokens and positions."""

    def embed(self, tokens: Tensor) -> Tensor:
        """Return states `(N, L, D)` of tokens in the model's own numbers."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        states = self.get_submodule("tokens")(tokens) + self.get_submodule("places")(positions)
        dropped: Tensor = self.get_submodule("drop")(states)
        return dropped


class Layer(Block):
    """A text model's layer, whose tokens attend to all that count."""

    masked = True

    def forward(self, outputs: Tensor) -> Tensor:
        """Return states and mask, as `join_mask` does."""
        states, mask = split_mask(outputs)
        lowest = torch.finfo(torch.float32).min
        attention_mask = torch.where(self.visible(mask), 0.0, lowest)
        return join_mask(self.get_submodule("layer")(states, attention_mask=attention_mask), mask)

    def visible(self, mask: Tensor) -> Tensor:
        """Return which tokens are attended to, `(N, 1, 1, L)`."""
        return mask[:, None, None]


class CausalLayer(Layer):
    """A causal model's layer, whose tokens attend to themselves and to those before them."""

    def visible(self, mask: Tensor) -> Tensor:
        """Return which tokens are attended to by each, `(N, 1, L, L)`."""
        length = mask.shape[1]
        earlier = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
        return mask[:, None, None] & earlier


class FirstToken(Block):
    """The last part of a text model: the first token's state, and what precedes the head."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Return features `(N, D)`."""
        features = split_mask(outputs)[0][:, 0]
        for part in self.children():
            features = part(features)
        return features


class LastToken(Block):
    """The last part of a causal model: the last token's state."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Return features `(N, D)`."""
        states, mask = split_mask(outputs)
        last_states = states[torch.arange(len(states)), find_last(mask)]
        features: Tensor = self.get_submodule("norm")(last_states)
        return features


def _split_text_model(network: Any, layers: Iterable[nn.Module], **last: nn.Module) -> list[Block]:
    return [
        Embeddings(network, embeddings=network.base_model.embeddings),
        *(Layer(network, layer=layer) for layer in layers),
        FirstToken(network, **last),
    ]


def _split_bert(network: Any) -> list[Block]:
    body = network.base_model
    last = {"dense": body.pooler.dense, "tanh": nn.Tanh(), "dropout": network.dropout}
    return _split_text_model(network, body.encoder.layer, **last)


def _split_roberta(network: Any) -> list[Block]:
    head = network.classifier
    last = {"before": head.dropout, "dense": head.dense, "tanh": nn.Tanh(), "dropout": head.dropout}
    return _split_text_model(network, network.base_model.encoder.layer, **last)


def _split_distilbert(network: Any) -> list[Block]:
    last = {"dense": network.pre_classifier, "relu": nn.ReLU(), "dropout": network.dropout}
    return _split_text_model(network, network.base_model.transformer.layer, **last)


def _split_gpt2(network: Any) -> list[Block]:
    body = network.base_model
    return [
        CausalEmbeddings(network, tokens=body.wte, places=body.wpe, drop=body.drop),
        *(CausalLayer(network, layer=layer) for layer in body.h),
        LastToken(network, norm=body.ln_f),
    ]


def _split_vit(network: Any) -> list[Block]:
    body = network.base_model
    return [
        Images(network, embeddings=body.embeddings),
        *(Images(network, layer=layer) for layer in body.layers),
        PooledImages(network, norm=body.layernorm),
    ]


def _split_resnet(network: Any) -> list[Block]:
    body = network.base_model
    *stages, last = body.encoder.stages
    return [
        Images(network, embedder=body.embedder),
        *(Images(network, stage=stage) for stage in stages),
        Images(network, stage=last, pooler=body.pooler, flat=nn.Flatten()),
    ]


def _split_convnext(network: Any) -> list[Block]:
    body = network.base_model
    return [
        Images(network, embeddings=body.embeddings),
        *(Images(network, stage=stage) for stage in body.encoder.stages),
        PooledImages(network, norm=body.layernorm),
    ]


class Family(NamedTuple):
    """Networks of one `model_type`: how to split them, their class, and the name of the head."""

    split: Callable[[Any], list[Block]]
    auto_class: str
    head_name: str


SEQUENCES, IMAGES = "AutoModelForSequenceClassification", "AutoModelForImageClassification"
FAMILIES = {
    "bert": Family(_split_bert, SEQUENCES, "classifier"),
    "roberta": Family(_split_roberta, SEQUENCES, "classifier.out_proj"),
    "distilbert": Family(_split_distilbert, SEQUENCES, "classifier"),
    "gpt2": Family(_split_gpt2, CAUSAL, "lm_head"),
    "vit": Family(_split_vit, IMAGES, "classifier"),
    "resnet": Family(_split_resnet, IMAGES, "classifier.1"),
    "convnext": Family(_split_convnext, IMAGES, "classifier"),
}
