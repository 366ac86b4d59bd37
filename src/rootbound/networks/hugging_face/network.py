"""A network of `transformers` as a `Classifier`, and back."""

from __future__ import annotations

import importlib
import json
from typing import Any

import torch
from torch import nn

from rootbound.core.errors import InputError
from rootbound.networks.classifier import Classifier
from rootbound.networks.hugging_face.blocks import CAUSAL, FAMILIES, Family
from rootbound.networks.weights import check_fit

PRETRAINED = "hf:"
"""Stands before the name of a model on the hub, or of its folder."""
CONFIGURED = "transformers:"
"""Stands before the configuration in the `architecture` of such a model."""
FIXED_SIZE = ("vit",)
"""Families whose networks take images of one size alone."""
ATTENTION = "eager"
"""Attention that is written out in torch, and so has derivatives of any order."""
LEFT_OUT = ("attn_implementation", "auto_map", "dtype", "torch_dtype", "transformers_version")
"""Settings that would fetch or run code, or say how weights were stored."""
LARGEST_NUMBER, MOST_LAYERS = 10**7, 1000
"""Limits for the numbers in a stranger's configuration."""


def import_transformers() -> Any:
    """Return the library `transformers`, which then logs errors alone.

    Raises:
        InputError: It is not installed.
    """
    try:
        transformers = importlib.import_module("transformers")
    except ImportError:
        raise InputError(
            "the library `transformers`, for models of the Hugging Face hub",
            "none",
            "pip install 'rootbound[transformers]'",
        ) from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def build(name: str, classes: int | None = None, seed: int = 0) -> Classifier:
    """Return the model of a folder or of the hub, or a new one by its configuration.

    A head that is missing or for other classes is drawn with the seed. Code that comes with a
    model is never run.

    Args:
        name: `hf:` and a name or folder, or `transformers:` and a configuration as JSON.
        classes: Number of classes; when left out, the model keeps the head that it came with.
        seed: Seed of new weights.

    Raises:
        InputError: There is no such model, or its family is not known here.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name.startswith(CONFIGURED):
            network = build_configured(name.removeprefix(CONFIGURED), classes)
        else:
            network = _load_pretrained(name.removeprefix(PRETRAINED), classes)
    return from_transformers(network)


def build_configured(text: str, classes: int | None) -> Any:
    """Return a network of `transformers` by its configuration, with random weights.

    Raises:
        InputError: The text is no configuration of a known family, or of no sensible size.
    """
    transformers = import_transformers()
    try:
        description = _parse_description(text)
        family = _find_family(description)
        if family.auto_class != CAUSAL and classes is not None:
            description |= {"id2label": {}, "label2id": {}, "num_labels": classes}
        config = transformers.AutoConfig.for_model(**description)
        return getattr(transformers, family.auto_class).from_config(
            config, trust_remote_code=False, attn_implementation=ATTENTION, dtype=torch.float32
        )
    except InputError:
        raise
    except Exception as error:  # a strange description may fail in any way
        raise InputError(
            "a configuration of `transformers`", _reason(error), "correct the configuration"
        ) from None


def _load_pretrained(name: str, classes: int | None) -> Any:
    """Return a network with the weights of a folder or of the hub."""
    transformers = import_transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
        family = _find_family({"model_type": config.model_type})
        # The file's own choice may be a kernel of the hub, which is code.
        config._attn_implementation = ATTENTION
        if family.auto_class != CAUSAL and classes is not None:
            config.num_labels = classes
        _check_sizes(config.to_diff_dict())
        return getattr(transformers, family.auto_class).from_pretrained(
            name,
            config=config,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            attn_implementation=ATTENTION,
            dtype=torch.float32,
        )
    except InputError:
        raise
    except Exception as error:  # a strange folder or the connection may fail in any way
        raise InputError(
            f"a model of `transformers` at {name}, its weights as safetensors",
            _reason(error),
            "check the name or the folder",
        ) from None


def from_transformers(network: Any) -> Classifier:
    """Return a classifier made of the network's own parts, which it shares.

    Args:
        network: A network of `transformers` from a known family: for images, for sequences, or
            causal.

    Raises:
        InputError: It is from another family.
    """
    config = network.config
    family = _find_family({"model_type": config.model_type})
    network.set_attn_implementation(ATTENTION)
    description = _without_code({"model_type": config.model_type, **config.to_diff_dict()})
    text = json.dumps(description, sort_keys=True, default=str)
    backbone = nn.Sequential(*family.split(network))
    return Classifier(backbone, network.get_submodule(family.head_name), CONFIGURED + text)


def to_transformers(model: Classifier) -> Any:
    """Return the network of `transformers` that has these weights.

    Raises:
        InputError: The model is none of the library's, or its head is of another kind.
    """
    if not model.architecture.startswith(CONFIGURED):
        raise InputError("a model of `transformers`", model.architecture, "it is saved by torch")
    network = build_configured(model.architecture.removeprefix(CONFIGURED), model.classes)
    classifier = from_transformers(network)
    try:
        check_fit(model.state_dict(), classifier, f"the library's {network.config.model_type}")
    except ValueError as error:
        raise InputError(
            "a model with a head as the library has it", str(error), "keep the head it came with"
        ) from None
    classifier.load_state_dict(model.state_dict())
    return network.eval()


def read_fixed_shape(name: str) -> tuple[int, int, int] | None:
    """Return the shape of images that a network needs, or None if it takes several, or no images.

    Networks that learn something for each patch need a fixed number of patches.

    Args:
        name: Name as `build` takes it, or that of another network.

    Raises:
        InputError: The library is not installed.
    """
    if not name.startswith((PRETRAINED, CONFIGURED)):
        return None
    config = read_configuration(name)
    if config is None or config.model_type not in FIXED_SIZE:
        return None
    size = config.image_size
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return config.num_channels, height, width


def read_configuration(name: str) -> Any | None:
    """Return the configuration of a model, or None where there is none that can be read.

    Args:
        name: Name as `build` takes it.

    Raises:
        InputError: The library is not installed.
    """
    auto_config = import_transformers().AutoConfig
    try:
        if name.startswith(CONFIGURED):
            return auto_config.for_model(**_parse_description(name.removeprefix(CONFIGURED)))
        return auto_config.from_pretrained(name.removeprefix(PRETRAINED), trust_remote_code=False)
    except Exception:  # whatever it is, `build` says it better
        return None


def is_causal(config: Any) -> bool:
    """Return whether the networks of a configuration predict the next token."""
    return config.model_type in FAMILIES and FAMILIES[config.model_type].auto_class == CAUSAL


def find_auto_class(model: Classifier) -> str:
    """Return the class of `transformers` that reads a model, empty where it is none of theirs."""
    if not model.architecture.startswith(CONFIGURED):
        return ""
    return _find_family(json.loads(model.architecture.removeprefix(CONFIGURED))).auto_class


def _find_family(description: dict[str, Any]) -> Family:
    model_type = description["model_type"]
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise InputError(
            f"a model of {', '.join(FAMILIES)}",
            repr(model_type),
            "load it in Python and use Classifier.wrap",
        )
    return FAMILIES[model_type]


def _parse_description(text: str) -> dict[str, Any]:
    """Return a configuration of a known family and of sensible sizes, without code."""
    description = _without_code(json.loads(text))
    _find_family(description)
    _check_sizes(description)
    return description


def _without_code(description: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in description.items()
        if not key.startswith("_") and key not in LEFT_OUT
    }


def _check_sizes(description: dict[str, Any]) -> None:
    """Raise a `ValueError` where a configuration would build something of no sensible size."""
    for key, value in description.items():
        limit = MOST_LAYERS if "layers" in key or key in ("depths", "n_layer") else LARGEST_NUMBER
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not abs(number) <= limit:
                raise ValueError(f"{key} is {number}")


def _reason(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:160]
