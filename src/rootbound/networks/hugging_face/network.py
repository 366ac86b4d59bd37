"""Networks of `transformers` as `Classifier`s, and back. Code that comes with one is not run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rootbound.core.devices import set_seed
from rootbound.core.errors import InputError, explain_errors
from rootbound.networks.blocks.passing import Passing
from rootbound.networks.blocks.repeated import find_repeated_and_head
from rootbound.networks.classifier import Classifier
from rootbound.networks.fresh import FreshNetwork
from rootbound.networks.hugging_face import configuration
from rootbound.networks.hugging_face.configuration import CAUSAL, CONFIGURED, PRETRAINED
from rootbound.networks.hugging_face.passing import Texts, find_padding, make_example
from rootbound.networks.weights import check_fit, own_weights

ATTENTION = "eager"
"""The attention that is written in plain torch, and so has derivatives of any order."""
SAFELY = {"attn_implementation": ATTENTION, "dtype": torch.float32, "trust_remote_code": False}
LOADED = SAFELY | {"output_loading_info": True}
ADAPTER = "adapter_config.json"
POOLING = "pool"
"""Part of the names of weights between layers and head, which some networks lack."""
SHOWN = 3
"""Most names that an error shows of tensors that do not fit."""


def build(name: str, classes: int | None = None, seed: int = 0) -> Classifier:
    """Return the model in a folder or on the hub, or a new one from its configuration.

    A head that is missing or for other classes is drawn with the seed; `new_head` says so.

    Args:
        name: `hf:` and a name or folder, or `transformers:` and a configuration as JSON.
        classes: Number of classes; when left out, the model keeps the head that it came with.
        seed: Seed of new weights.

    Raises:
        InputError: There is no such model, some of its weights are missing, or it is for another
            kind of task.
    """
    with torch.random.fork_rng(devices=[]):
        set_seed(seed)
        if name.startswith(CONFIGURED):
            return from_transformers(build_configured(name.removeprefix(CONFIGURED), classes))
        return _load_pretrained(name.removeprefix(PRETRAINED), classes)


def build_configured(text: str, classes: int | None = None) -> Any:
    """Return a network of `transformers` from its configuration, with random weights.

    Raises:
        InputError: The text is not a configuration of a network that classifies or predicts tokens,
            or a size is out of range.
    """
    library = configuration.import_transformers()
    with explain_errors("a configuration of `transformers`", "correct the configuration"):
        found = configuration.parse_description(text)
        choice = configuration.choose_class(found)
        if choice.auto_class != CAUSAL and classes is not None:
            found |= {"id2label": {}, "label2id": {}, "num_labels": classes}
        config = library.AutoConfig.for_model(**found | {"architectures": [choice.name]})
        return getattr(library, choice.auto_class).from_config(config, **SAFELY)


def build_from_weights(
    weights: Mapping[str, Tensor], architecture: str, classes: int
) -> Classifier:
    """Return a model of a configuration, with weights under the library's names.

    Raises:
        InputError: The architecture is not a configuration of `transformers`.
        ValueError: There are too many or too few weights, or some have another shape.
    """
    if "head.weight" in weights:
        raise ValueError("weights named by their place in blocks, as earlier versions wrote them")
    with torch.device("meta"):  # this uses no memory: a foreign file may claim any size
        network = build_configured(architecture.removeprefix(CONFIGURED), classes)
    misfit = f"weights that do not fit {network.config.model_type} for {classes} classes"
    # Shared weights have several names, and the file may contain one of them or more.
    sizes = {id(value): value.numel() for value in network.state_dict(keep_vars=True).values()}
    if sum(value.numel() for value in weights.values()) < sum(sizes.values()):
        raise ValueError(misfit)
    # The library knows which names it used in each of its versions.
    network, info = type(network).from_pretrained(
        None, config=network.config, state_dict=dict(weights), **LOADED
    )
    if any(info.values()):
        raise ValueError(misfit)
    return from_transformers(network)


def from_transformers(network: Any) -> Classifier:
    """Return a classifier that shares the network's own parts.

    If a causal model caps its logits, the classifier returns them without the cap.

    Args:
        network: A network of `transformers` that classifies images or texts, or predicts tokens.

    Raises:
        InputError: It is for another kind of task, or its logits do not come from a linear layer.
    """
    named = {"model_type": network.config.model_type, "architectures": [type(network).__name__]}
    choice = configuration.choose_class(named)
    network.set_attn_implementation(ATTENTION)
    of_texts = network.main_input_name == "input_ids"
    if of_texts:
        config = network.config.get_text_config()
        if choice.auto_class != CAUSAL:
            config.pad_token_id = find_padding(config)  # the classifier's own code needs it
        elif getattr(config, "final_logit_softcapping", None):
            config.final_logit_softcapping = None
    passing = Texts(network) if of_texts else Passing()
    example = make_example(network.config, of_texts=of_texts).to(network.device)
    expected = "a network that classifies or predicts tokens by layers and a linear head"
    with explain_errors(expected, "use Classifier.wrap"):
        found = None if choice.new_head else find_repeated_and_head(network, example, passing)
        if found is None:
            raise InputError(expected, type(network).__name__, "use Classifier.wrap")
    text = configuration.describe(network)
    fresh = FreshNetwork(partial(build_configured, text), found.head_name)
    model = Classifier(found.backbone, found.head, CONFIGURED + text, found.head_name, fresh)
    return model.train(network.training)


def to_transformers(model: Classifier) -> Any:
    """Return the network of `transformers` that has these weights.

    Raises:
        InputError: The model is not one of the library's, or its head is of another kind.
    """
    if not model.architecture.startswith(CONFIGURED):
        raise InputError("a model of `transformers`", model.architecture, "it is saved by torch")
    network = build_configured(model.architecture.removeprefix(CONFIGURED), model.classes)
    weights = own_weights(model)
    with explain_errors("a head as the library has it", "keep the head that the model came with"):
        check_fit(weights, network, f"the library's {network.config.model_type}")
    network.load_state_dict(weights)
    return network.eval()


def _load_pretrained(name: str, classes: int | None) -> Classifier:
    """Return a model with the weights of a folder or of the hub."""
    library = configuration.import_transformers()
    if Path(name, ADAPTER).is_file():
        adapter = f"an adapter for another ({ADAPTER}: LoRA or the like)"
        raise InputError(f"a whole model at {name}", adapter, "merge_and_unload it first, by peft")
    expected = f"a model of `transformers` at {name}, its weights as safetensors"
    with explain_errors(expected, "check the name or the folder"):
        config = library.AutoConfig.from_pretrained(name, trust_remote_code=False)
        choice = configuration.choose_class(config.to_dict())
        # The configuration's own choice may be a kernel on the hub, which is code.
        config._attn_implementation = ATTENTION
        config.architectures = [choice.name]
        if choice.auto_class != CAUSAL and classes is not None:
            config.num_labels = classes
        configuration.check_sizes(config.to_diff_dict())
        network, info = getattr(library, choice.auto_class).from_pretrained(
            name, config=config, use_safetensors=True, ignore_mismatched_sizes=True, **LOADED
        )
    new_head = _check_tensors(name, network, info, new_head=choice.new_head)
    model = from_transformers(network)
    model.new_head = new_head
    return model


def _check_tensors(name: str, network: Any, info: Mapping[str, Any], *, new_head: bool) -> bool:
    """Return whether the head is new because it was missing or for other classes.

    Raises:
        InputError: Other tensors are missing, left over, misshaped or not finite.
    """
    tensors, body = network.state_dict(), f"{network.base_model_prefix}."
    heads = {key for key in tensors if not key.startswith(body)}
    missing, left = set(info["missing_keys"]), set(info["unexpected_keys"])
    misshaped = {key for key, *_ in info["mismatched_keys"]}
    # If the configuration names another network, the head of that one is left over.
    absent = missing & heads if new_head or heads <= missing else set()
    if new_head:
        absent |= {key for key in missing if POOLING in key}
        # The file of a body alone lacks the prefix. What is left over elsewhere is another head's.
        parts = {name for name, _ in network.base_model.named_children()}
        left = {key for key in left if key.startswith(body) or key.partition(".")[0] in parts}
        left = {key for key in left if POOLING not in key}
    resized = {key for key in misshaped & heads if len(tensors[key]) == network.config.num_labels}
    broken = {key for key, value in tensors.items() if not bool(torch.isfinite(value).all())}
    for problem, keys in (
        ("no", missing - absent),
        ("left over", left),
        ("of another shape", misshaped - resized),
        ("these weights hold NaN or infinite numbers:", broken),
    ):
        if keys:
            names = ", ".join(sorted(keys)[:SHOWN]) + (" and more" if len(keys) > SHOWN else "")
            whole = f"all weights of a {type(network).__name__} at {name}"
            raise InputError(whole, f"{problem} {names}", "take a whole model of that class")
    return bool(absent or resized)
