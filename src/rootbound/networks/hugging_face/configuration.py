"""What a configuration of `transformers` says: a network's class, its task, and sizes."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import Any

import torch

from rootbound.core.errors import InputError
from rootbound.networks.hugging_face.passing import find_image_shape

PRETRAINED = "hf:"
"""Stands before the name of a model on the hub, or of its folder."""
CONFIGURED = "transformers:"
"""Stands before the configuration in the `architecture` of such a model."""
CAUSAL = "AutoModelForCausalLM"
MAPPINGS = {
    "AutoModelForSequenceClassification": "SEQUENCE_CLASSIFICATION",
    "AutoModelForImageClassification": "IMAGE_CLASSIFICATION",
    CAUSAL: "CAUSAL_LM",
}
"""The library's classes for each task, and its name for the list of networks that have one."""
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


@dataclass(frozen=True)
class Choice:
    """The class that a configuration asks for.

    Args:
        auto_class: Class of `transformers` for the task.
        name: Class of the network.
        new_head: Whether the configuration is of a network with another head, or none.
    """

    auto_class: str
    name: str
    new_head: bool

    @property
    def causal(self) -> bool:
        """Whether the network predicts the next token."""
        return self.auto_class == CAUSAL


def choose_class(description: dict[str, Any]) -> Choice:
    """Return the class that a description names, or one with a new head.

    Raises:
        InputError: The library has none for the description's `model_type` that classifies or
            predicts tokens, or the description names a class of another `model_type`.
    """
    transformers = import_transformers()
    kind, named = description.get("model_type"), description.get("architectures") or []
    known = {auto: _classes_of(auto, kind) for auto in MAPPINGS}
    for auto, names in known.items():
        if found := [name for name in named if name in names]:
            return Choice(auto, found[0], new_head=False)
    for name in named:
        own = getattr(getattr(transformers, str(name), None), "config_class", None)
        if own is not None and own.model_type != kind:
            raise InputError(
                f"a class of model_type {kind!r} in architectures", str(name), "correct config.json"
            )
    # Where nothing is named, a decoder predicts tokens: it is no network to fill in masks.
    decoder = not named and known[CAUSAL] and not _classes_of("MASKED_LM", kind)
    for auto in sorted(MAPPINGS, key=lambda auto: (auto == CAUSAL) != bool(decoder)):
        if known[auto]:
            return Choice(auto, known[auto][0], new_head=bool(named))
    raise InputError(
        "a model_type whose networks classify or predict the next token",
        repr(kind),
        "load it in Python and use Classifier.wrap",
    )


def _classes_of(auto_class: str, model_type: object) -> tuple[str, ...]:
    lists = importlib.import_module("transformers.models.auto.modeling_auto")
    name = MAPPINGS.get(auto_class, auto_class)
    names = getattr(lists, f"MODEL_FOR_{name}_MAPPING_NAMES")
    found = names.get(model_type, ()) if isinstance(model_type, str) else ()
    return (found,) if isinstance(found, str) else tuple(found)


def describe(network: Any) -> dict[str, Any]:
    """Return the configuration of a network, with its class, without code."""
    config = network.config
    named = {"model_type": config.model_type, "architectures": [type(network).__name__]}
    return _without_code({**config.to_diff_dict(), **named})


def parse_description(text: str) -> dict[str, Any]:
    """Return a configuration of sensible sizes, without code.

    Raises:
        ValueError: The text is no JSON, or a size is not sensible.
    """
    description = _without_code(json.loads(text))
    check_sizes(description)
    return description


def check_sizes(description: dict[str, Any]) -> None:
    """Raise a `ValueError` where a configuration would build something of no sensible size."""
    for key, value in description.items():
        if isinstance(value, dict):
            check_sizes(value)
            continue
        limit = (
            MOST_LAYERS if "layers" in str(key) or key in ("depths", "n_layer") else LARGEST_NUMBER
        )
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not abs(number) <= limit:
                raise ValueError(f"{key} is {number}")


def read_configuration(name: str) -> Any | None:
    """Return the configuration of a model, or None where there is none that can be read.

    Args:
        name: `hf:` and a name or folder, or `transformers:` and a configuration as JSON.

    Raises:
        InputError: The library is not installed.
    """
    auto_config = import_transformers().AutoConfig
    try:
        if name.startswith(CONFIGURED):
            return auto_config.for_model(**parse_description(name.removeprefix(CONFIGURED)))
        return auto_config.from_pretrained(name.removeprefix(PRETRAINED), trust_remote_code=False)
    except Exception:  # whatever it is, `build` says it better
        return None


def is_causal(config: Any) -> bool:
    """Return whether the networks of a configuration predict the next token."""
    try:
        return choose_class(_named(config)).causal
    except InputError:  # whatever it is, `build` says it better
        return False


def find_auto_class(architecture: str) -> str:
    """Return the class of `transformers` that reads a model, empty where it is none of theirs."""
    if not architecture.startswith(CONFIGURED):
        return ""
    return choose_class(json.loads(architecture.removeprefix(CONFIGURED))).auto_class


def read_fixed_shape(name: str) -> tuple[int, int, int] | None:
    """Return the shape of images that a network needs, or None if it takes several, or no images.

    Networks that learn something for each patch need a fixed number of patches.

    Args:
        name: Name as `read_configuration` takes it, or that of another network.

    Raises:
        InputError: The library is not installed.
    """
    config = read_configuration(name) if name.startswith((PRETRAINED, CONFIGURED)) else None
    if config is None or not _classes_of("AutoModelForImageClassification", config.model_type):
        return None
    shape = find_image_shape(config)
    try:
        with torch.device("meta"):  # only shapes are asked for: no memory
            choice = choose_class(_named(config))
            network = getattr(import_transformers(), choice.auto_class).from_config(config)
            network.eval()(torch.zeros(1, shape[0], 2 * shape[1], 2 * shape[2]))
    except InputError:
        return None
    except Exception:  # a network that cannot take images of that size may fail in any way
        return shape
    return None


def _named(config: Any) -> dict[str, Any]:
    return {"model_type": config.model_type, "architectures": config.architectures}


def _without_code(description: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_code(value) if isinstance(value, dict) else value
        for key, value in description.items()
        if not str(key).startswith("_") and key not in LEFT_OUT
    }
