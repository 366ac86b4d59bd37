"""Configurations of `transformers`: a network's class, its task, and sizes."""

from __future__ import annotations

import importlib
import json
from typing import Any, NamedTuple

import torch

from rootbound.core.errors import InputError
from rootbound.networks.hugging_face.passing import find_image_shape

PRETRAINED = "hf:"
"""Prefix of the name of a model on the hub, or of its folder."""
CONFIGURED = "transformers:"
"""Prefix of the configuration in the `architecture` of such a model."""
CAUSAL, IMAGES = "AutoModelForCausalLM", "AutoModelForImageClassification"
LISTS = {
    "AutoModelForSequenceClassification": "SEQUENCE_CLASSIFICATION",
    IMAGES: "IMAGE_CLASSIFICATION",
    CAUSAL: "CAUSAL_LM",
}
"""For each task, the library's automatic class, and the name of its list of networks for it."""
LEFT_OUT = ("attn_implementation", "auto_map", "dtype", "torch_dtype", "transformers_version")
"""Settings that would fetch or run code, or that say how weights were stored."""
LARGEST_NUMBER, MOST_LAYERS = 10**7, 1000
"""Upper limits for numbers in a foreign configuration."""


def import_transformers() -> Any:
    """Import the library `transformers`, and let it log only errors.

    Raises:
        InputError: It is not installed.
    """
    try:
        transformers = importlib.import_module("transformers")
    except ImportError:
        expected = "the library `transformers`, for models of the Hugging Face hub"
        raise InputError(expected, "none", "pip install 'rootbound[transformers]'") from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


class Choice(NamedTuple):
    """The class for a configuration, and whether its head is new."""

    auto_class: str
    name: str
    new_head: bool


def choose_class(description: dict[str, Any]) -> Choice:
    """Return the class that a configuration names, or one with a new head.

    Args:
        description: The configuration.

    Raises:
        InputError: The library has no class of that type that classifies or predicts tokens.
    """
    model_type, named = description.get("model_type"), description.get("architectures")
    known = {auto: _list_classes(name, model_type) for auto, name in LISTS.items()}
    for auto, names in known.items():
        for name in names:
            if name in (named or ()):
                return Choice(auto, name, new_head=False)
    # Where no class is named, a decoder predicts the next token; it does not fill in masks.
    decoder = not named and not _list_classes("MASKED_LM", model_type)
    for auto in sorted(known, key=lambda auto: (auto == CAUSAL) != decoder):
        if known[auto]:
            return Choice(auto, known[auto][0], new_head=bool(named))
    expected = "a model_type whose networks classify or predict the next token"
    raise InputError(expected, repr(model_type), "load it in Python and use Classifier.wrap")


def _list_classes(task: str, model_type: Any) -> tuple[str, ...]:
    lists = import_transformers().models.auto.modeling_auto
    names = getattr(lists, f"MODEL_FOR_{task}_MAPPING_NAMES")
    found = names.get(model_type, ()) if isinstance(model_type, str) else ()
    return (found,) if isinstance(found, str) else tuple(found)


def describe(network: Any) -> str:
    """Return the configuration of a network with its class, without code, as JSON."""
    named = {"model_type": network.config.model_type, "architectures": [type(network).__name__]}
    description = _without_code(network.config.to_diff_dict() | named)
    return json.dumps(description, sort_keys=True, default=str)


def parse_description(text: str) -> dict[str, Any]:
    """Parse a configuration, leave out code, and check its sizes.

    Raises:
        ValueError: The text is not JSON, or a size is out of range.
    """
    description = _without_code(json.loads(text))
    check_sizes(description)
    return description


def check_sizes(description: dict[str, Any]) -> None:
    """Raise a `ValueError` where a configuration has a size that is out of range."""
    for key, value in description.items():
        if isinstance(value, dict):
            check_sizes(value)
        deep = "layers" in str(key) or key in ("depths", "n_layer")
        for number in value if isinstance(value, list) else [value]:
            largest = MOST_LAYERS if deep else LARGEST_NUMBER
            if isinstance(number, int | float) and not abs(number) <= largest:
                raise ValueError(f"{key} is {number}")


def read_configuration(name: str) -> Any | None:
    """Return the configuration of a model, or None if none can be read.

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
    except Exception:  # `build` reports the same problem in better words
        return None


def is_causal(config: Any) -> bool:
    """Return whether the networks of a configuration predict the next token."""
    return choose_class(config.to_dict()).auto_class == CAUSAL


def find_auto_class(architecture: str) -> str:
    """Return the automatic class of `transformers` for a model; empty if it is from elsewhere."""
    if not architecture.startswith(CONFIGURED):
        return ""
    return choose_class(json.loads(architecture.removeprefix(CONFIGURED))).auto_class


def read_fixed_shape(name: str) -> tuple[int, int, int] | None:
    """Return the only shape of images that a network takes; None if it takes several or no images.

    Networks that learn something for each patch need a fixed number of patches.

    Args:
        name: Name as `read_configuration` takes it, or that of another network.

    Raises:
        InputError: The library is not installed.
    """
    config = read_configuration(name) if name.startswith((PRETRAINED, CONFIGURED)) else None
    if config is None or not _list_classes(LISTS[IMAGES], config.model_type):
        return None
    channels, height, width = find_image_shape(config)
    try:
        with torch.device("meta"):  # only shapes are needed, so no memory is used
            network = getattr(import_transformers(), IMAGES).from_config(config).eval()
            network(torch.zeros(1, channels, 2 * height, 2 * width))
    except Exception:  # a network that cannot take another size may fail in any way
        return channels, height, width
    return None


def _without_code(description: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_code(value) if isinstance(value, dict) else value
        for key, value in description.items()
        if not str(key).startswith("_") and key not in LEFT_OUT
    }
