"""A network of `transformers` as a `Classifier`, and back."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import torch
from torch import nn

from rootbound.core.errors import InputError, first_line
from rootbound.networks.blocks.chain import in_evaluation, record_calls
from rootbound.networks.blocks.passing import Passing
from rootbound.networks.blocks.repeated import find_repeated
from rootbound.networks.blocks.sequence import BlockSequence
from rootbound.networks.blocks.stand_ins import replace_within
from rootbound.networks.classifier import Classifier
from rootbound.networks.fresh import FreshNetwork
from rootbound.networks.hugging_face.configuration import (
    CONFIGURED,
    choose_class,
    describe,
    import_transformers,
    parse_description,
)
from rootbound.networks.hugging_face.passing import Images, Texts, find_padding
from rootbound.networks.weights import check_fit, own_weights

ATTENTION = "eager"
"""Attention that is written out in torch, and so has derivatives of any order."""


def build_configured(text: str, classes: int | None = None) -> Any:
    """Return a network of `transformers` by its configuration, with random weights.

    Raises:
        InputError: The text is no configuration of a network that classifies or predicts tokens,
            or of no sensible size.
    """
    transformers = import_transformers()
    try:
        description = parse_description(text)
        choice = choose_class(description)
        if not choice.causal and classes is not None:
            description |= {"id2label": {}, "label2id": {}, "num_labels": classes}
        description["architectures"] = [choice.name]
        config = transformers.AutoConfig.for_model(**description)
        return getattr(transformers, choice.auto_class).from_config(
            config, trust_remote_code=False, attn_implementation=ATTENTION, dtype=torch.float32
        )
    except InputError:
        raise
    except Exception as error:  # a strange description may fail in any way
        raise InputError(
            "a configuration of `transformers`", first_line(error, 160), "correct the configuration"
        ) from None


def from_transformers(network: Any) -> Classifier:
    """Return a classifier made of the network's own parts, which it shares.

    Logits of a causal model are those before they are capped, where it caps them.

    Args:
        network: A network of `transformers` that classifies images or texts, or predicts tokens.

    Raises:
        InputError: It is for something else, or its logits do not come from a linear layer.
    """
    found = describe(network)
    choice = choose_class(found)
    if choice.name != type(network).__name__:
        raise InputError(
            "a network of `transformers` that classifies or predicts the next token",
            type(network).__name__,
            "use Classifier.wrap",
        )
    network.set_attn_implementation(ATTENTION)
    passing: Images | Texts
    if network.main_input_name == "input_ids":
        config = network.config.get_text_config()
        if config.pad_token_id is None:  # which a classifier's own code asks for
            config.pad_token_id = find_padding(config)
        if choice.causal and getattr(config, "final_logit_softcapping", None):
            config.final_logit_softcapping = None
        passing = Texts(network)
    else:
        passing = Images(network.config)
    example = passing.example().to(next(network.parameters()).device)
    head_name = _find_head(network, passing, example)
    head = network.get_submodule(head_name)
    bare = replace_within(network, head_name, nn.Identity())
    blocks = find_repeated(bare, example, passing)
    if blocks is None:
        raise InputError(
            "a network whose layers follow one another",
            f"a {type(network).__name__}, whose blocks are not found",
            "use Classifier.wrap",
        )
    text = json.dumps(describe(network), sort_keys=True, default=str)
    fresh = FreshNetwork(partial(build_configured, text), head_name)
    classifier = Classifier(
        BlockSequence(blocks, bare), head, CONFIGURED + text, head_name, fresh
    ).train(network.training)
    _check_logits(network, classifier, passing, example)
    return classifier


def to_transformers(model: Classifier) -> Any:
    """Return the network of `transformers` that has these weights.

    Raises:
        InputError: The model is none of the library's, or its head is of another kind.
    """
    if not model.architecture.startswith(CONFIGURED):
        raise InputError("a model of `transformers`", model.architecture, "it is saved by torch")
    network = build_configured(model.architecture.removeprefix(CONFIGURED), model.classes)
    weights = own_weights(model)
    try:
        check_fit(weights, network, f"the library's {network.config.model_type}")
    except ValueError as error:
        raise InputError(
            "a model with a head as the library has it", str(error), "keep the head it came with"
        ) from None
    network.load_state_dict(weights)
    return network.eval()


def _find_head(network: nn.Module, passing: Passing, example: torch.Tensor) -> str:
    """Return the name of the linear layer that makes the logits."""
    given = passing.prepare(example)
    with in_evaluation(network), torch.no_grad(), record_calls(network) as calls:
        logits = passing.finish(passing.call(network, given), given)
    parts = dict(network.named_modules())
    for call in reversed(calls):
        part = parts[call.name]
        if isinstance(part, nn.Linear) and part.out_features == logits.shape[-1]:
            return call.name
    raise _no_head(network)


def _check_logits(
    network: nn.Module, classifier: Classifier, passing: Passing, example: torch.Tensor
) -> None:
    """Raise an `InputError` where a network's logits are not those of the classifier."""
    given = passing.prepare(example)
    with in_evaluation(network), in_evaluation(classifier), torch.no_grad():
        expected = passing.finish(passing.call(network, given), given)
        if not torch.allclose(classifier(example), expected, rtol=1e-4, atol=1e-5):
            raise _no_head(network)


def _no_head(network: nn.Module) -> InputError:
    return InputError(
        "a network of `transformers` whose logits come from one linear layer",
        type(network).__name__,
        "choose another network",
    )
