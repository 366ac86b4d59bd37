"""Weights of `transformers` from a folder, the hub or a file; code that comes along is not run."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rootbound.core.errors import InputError, first_line
from rootbound.networks.classifier import Classifier
from rootbound.networks.hugging_face.configuration import (
    CONFIGURED,
    PRETRAINED,
    Choice,
    check_sizes,
    choose_class,
    import_transformers,
)
from rootbound.networks.hugging_face.network import ATTENTION, build_configured, from_transformers

log = logging.getLogger(__name__)
ADAPTER = "adapter_config.json"
POOLING = "pool"
"""In the names of what stands between layers and head, which networks with another head lack."""
SHOWN = 3
"""Names that are shown of tensors that do not fit."""


def build(name: str, classes: int | None = None, seed: int = 0) -> Classifier:
    """Return the model of a folder or of the hub, or a new one by its configuration.

    A head that is missing or for other classes is drawn with the seed, and that is said. Code that
    comes with a model is never run.

    Args:
        name: `hf:` and a name or folder, or `transformers:` and a configuration as JSON.
        classes: Number of classes; when left out, the model keeps the head that it came with.
        seed: Seed of new weights.

    Raises:
        InputError: There is no such model, its weights are not all there, or it is for something
            else.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name.startswith(CONFIGURED):
            network = build_configured(name.removeprefix(CONFIGURED), classes)
        else:
            network = _load_pretrained(name.removeprefix(PRETRAINED), classes)
    return from_transformers(network)


def build_from_weights(
    weights: Mapping[str, Tensor], architecture: str, classes: int
) -> Classifier:
    """Return a model of a configuration, with weights under the names of the library.

    Raises:
        InputError: The architecture is no configuration of `transformers`.
        ValueError: There are too many or too few weights, or some have another shape.
    """
    if any(name.startswith(("backbone.", "head.")) for name in weights):
        raise ValueError("weights by their place in blocks, as earlier versions wrote them")
    with torch.device("meta"):  # without memory: a stranger's file may claim any size
        network = build_configured(architecture.removeprefix(CONFIGURED), classes)
    parameters = network.state_dict(keep_vars=True).values()
    misfit = f"weights that do not fit {network.config.model_type} for {classes} classes"
    # Shared weights have several names, and may be in the file once or often.
    expected = sum({id(value): value.numel() for value in parameters}.values())
    most = sum(value.numel() for value in parameters)
    if not expected <= sum(value.numel() for value in weights.values()) <= most:
        raise ValueError(misfit)
    # The library knows which names it used in each of its versions.
    network, info = type(network).from_pretrained(
        None,
        config=network.config,
        state_dict=dict(weights),
        output_loading_info=True,
        attn_implementation=ATTENTION,
        dtype=torch.float32,
    )
    if any(info.values()):
        raise ValueError(misfit)
    return from_transformers(network)


def _load_pretrained(name: str, classes: int | None) -> Any:
    """Return a network with the weights of a folder or of the hub."""
    transformers = import_transformers()
    _refuse_adapter(name)
    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
        choice = choose_class(
            {"model_type": config.model_type, "architectures": config.architectures}
        )
        # The file's own choice may be a kernel of the hub, which is code.
        config._attn_implementation = ATTENTION
        config.architectures = [choice.name]
        if not choice.causal and classes is not None:
            config.num_labels = classes
        check_sizes(config.to_diff_dict())
        network, info = getattr(transformers, choice.auto_class).from_pretrained(
            name,
            config=config,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            attn_implementation=ATTENTION,
            dtype=torch.float32,
        )
    except InputError:
        raise
    except Exception as error:  # a strange folder or the connection may fail in any way
        raise InputError(
            f"a model of `transformers` at {name}, its weights as safetensors",
            first_line(error, 160),
            "check the name or the folder",
        ) from None
    _check_tensors(name, network, info, choice)
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise InputError(
            f"finite weights at {name}", "these weights hold NaN or infinite ones", "take others"
        )
    return network


def _refuse_adapter(name: str) -> None:
    """Raise an `InputError` where a folder holds what changes another model's weights."""
    folder = Path(name)
    if (folder / ADAPTER).is_file():
        raise InputError(
            f"a whole model at {name}",
            f"an adapter for another ({ADAPTER}: LoRA or the like)",
            "merge it first, by merge_and_unload() of peft, and save what that returns",
        )


def _check_tensors(name: str, network: Any, info: Mapping[str, Any], choice: Choice) -> None:
    """Raise an `InputError` where tensors are missing, left over, or have another shape.

    A head that is absent altogether, or for other classes, is new, and that is logged.
    """
    body = f"{network.base_model_prefix}."
    missing, left = set(info["missing_keys"]), set(info["unexpected_keys"])
    misshaped = {key for key, *_ in info["mismatched_keys"]}
    expected = set(network.state_dict())
    # Where the configuration is of another network, its head is left over, and ours is missing.
    heads = {key for key in expected if not key.startswith(body)}
    new = {key for key in missing if key in heads}
    if choice.new_head:
        new |= {key for key in missing if POOLING in key}
        left = {key for key in left if key.startswith(body) and POOLING not in key}
    elif new != heads:
        new = set()
    labels = getattr(network.config, "num_labels", None)
    resized = {key for key in misshaped if network.state_dict()[key].shape[0] == labels}
    resized = resized if resized <= heads else set()
    for problem, names in (
        ("no", missing - new),
        ("strange", left),
        ("misshaped", misshaped - resized),
    ):
        if names:
            raise InputError(
                f"the weights of a {type(network).__name__} at {name}, all of them",
                f"{problem} {_show(names)}",
                "take a whole model, and one of the class in its config.json",
            )
    if new or resized:
        log.warning("%s comes without a head for this task: a new one is drawn", name)


def _show(names: Collection[str]) -> str:
    listed = ", ".join(sorted(names)[:SHOWN])
    return f"{listed} and {len(names) - SHOWN} more" if len(names) > SHOWN else listed
