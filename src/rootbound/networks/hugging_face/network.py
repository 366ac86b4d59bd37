"""A network of `transformers` as a `Classifier`, and back."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rootbound.core.errors import InputError
from rootbound.networks.classifier import Classifier
from rootbound.networks.hugging_face.blocks import FAMILIES
from rootbound.networks.weights import check_fit

PRETRAINED = "hf:"
"""Before the name of a model on the hub, or of its folder."""
OF_ONE_SIZE = ("vit",)
"""Families whose networks take images of one size alone."""
CONFIGURED = "transformers:"
"""Before the configuration, in the `architecture` of such a model."""
CAUSAL = "AutoModelForCausalLM"
ATTENTION = "eager"
LEFT_OUT = ("attn_implementation", "auto_map", "dtype", "torch_dtype", "transformers_version")
LARGEST_NUMBER, MOST_LAYERS = 10**7, 1000
"""In a stranger's configuration."""


def import_transformers() -> Any:
    """Return the library `transformers`, told to say less.

    Raises:
        InputError: it is not installed.
    """
    try:
        found = importlib.import_module("transformers")
    except ImportError:
        raise InputError(
            "the library `transformers`, for models of the Hugging Face hub",
            "none",
            "pip install 'rootbound[transformers]'",
        ) from None
    found.logging.set_verbosity_error()
    found.logging.disable_progress_bar()
    return found


def build(name: str, classes: int, seed: int) -> Classifier:
    """Return the model of a folder or of the hub, or a new one by its configuration.

    Where the head is missing or of other classes, it is drawn with the seed. Code that comes
    with a model is never run.

    Args:
        name: `hf:` and a name or folder, or `transformers:` and a configuration as JSON.
        classes: number of classes.
        seed: of new weights.

    Raises:
        InputError: there is no such model, or it is of a family that is not known here.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name.startswith(CONFIGURED):
            network = build_configured(name.removeprefix(CONFIGURED), classes)
        else:
            network = _pretrained(name.removeprefix(PRETRAINED), classes)
    return from_transformers(network)


def load_as_published(name: str) -> Classifier:
    """Return the model of a folder or of the hub with the head that it came with.

    Args:
        name: `hf:` and a name or folder.

    Raises:
        InputError: as `build` does.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return from_transformers(_pretrained(name.removeprefix(PRETRAINED), None))


def from_transformers(network: Any) -> Classifier:
    """Return a classifier made of the network's own parts, which it shares.

    Args:
        network: of `transformers`: for images, for sequences, or causal, of a known family.

    Raises:
        InputError: it is of another family.
    """
    config = network.config
    _family(config.model_type)
    make, _, head = FAMILIES[config.model_type]
    # What is written out in torch has derivatives of any order.
    network.set_attn_implementation(ATTENTION)
    description = {"model_type": config.model_type, **config.to_diff_dict()}
    text = json.dumps(_harmless(description), sort_keys=True, default=str)
    backbone = nn.Sequential(*make(network))
    return Classifier(backbone, network.get_submodule(head), CONFIGURED + text)


def to_transformers(model: Classifier) -> Any:
    """Return the network of `transformers` that has these weights.

    Raises:
        InputError: it is none, or its head is of another kind than the library's.
    """
    if not model.architecture.startswith(CONFIGURED):
        raise InputError("a model of `transformers`", model.architecture, "it is saved by torch")
    network = build_configured(model.architecture.removeprefix(CONFIGURED), model.classes)
    same = from_transformers(network)
    try:
        check_fit(model.state_dict(), same, f"the library's {network.config.model_type}")
    except ValueError as error:
        raise InputError(
            "a model with a head as the library has it", str(error), "keep the head it came with"
        ) from None
    same.load_state_dict(model.state_dict())
    return network.eval()


def read_fixed_shape(name: str) -> tuple[int, int, int] | None:
    """Return the one shape of images that a network takes; None where it takes others, or none.

    Networks of patches learn something of each place, and so have a number of them.

    Args:
        name: as `build` takes it; other names are of networks that are no library's.

    Raises:
        InputError: the library is not here.
    """
    if not name.startswith((PRETRAINED, CONFIGURED)):
        return None
    config = read_configuration(name)
    if config is None or config.model_type not in OF_ONE_SIZE:
        return None
    size = config.image_size
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return config.num_channels, height, width


def read_configuration(name: str) -> Any | None:
    """Return the configuration of a model; None where there is none that can be read.

    Args:
        name: as `build` takes it.

    Raises:
        InputError: the library is not here.
    """
    auto = import_transformers().AutoConfig
    try:
        if name.startswith(CONFIGURED):
            return auto.for_model(**_checked(name.removeprefix(CONFIGURED)))
        return auto.from_pretrained(name.removeprefix(PRETRAINED), trust_remote_code=False)
    except Exception:  # whatever it is, `build` says it better
        return None


def is_causal(config: Any) -> bool:
    """Return whether a configuration is of a family that predicts the next token."""
    return config.model_type in FAMILIES and FAMILIES[config.model_type][1] == CAUSAL


def find_auto_class(model: Classifier) -> str:
    """Return the class of `transformers` that reads a model, empty where it is none of theirs."""
    if not model.architecture.startswith(CONFIGURED):
        return ""
    return _family(json.loads(model.architecture.removeprefix(CONFIGURED))["model_type"])


def build_configured(text: str, classes: int) -> Any:
    """Return a network of `transformers` by its configuration, with random weights.

    Raises:
        InputError: the text is no configuration of a known family, or of no sensible size.
    """
    auto = import_transformers()
    try:
        description = _checked(text)
        config = auto.AutoConfig.for_model(**_with_classes(description, classes))
        kind = getattr(auto, _family(config.model_type))
        return kind.from_config(
            config, trust_remote_code=False, attn_implementation=ATTENTION, dtype=torch.float32
        )
    except InputError:
        raise
    except Exception as error:  # a strange description may fail in any way
        raise InputError(
            "a configuration of `transformers`", _reason(error), "correct the configuration"
        ) from None


def _pretrained(name: str, classes: int | None) -> Any:
    """Return a network with the weights of a folder or of the hub; None leaves its classes."""
    auto = import_transformers()
    try:
        config = auto.AutoConfig.from_pretrained(name, trust_remote_code=False)
        family = _family(config.model_type)
        # The file's own choice may be a kernel of the hub, which is code.
        config._attn_implementation = ATTENTION
        if family != CAUSAL and classes is not None:
            config.num_labels = classes
        _check({"model_type": config.model_type, **config.to_diff_dict()})
        return getattr(auto, family).from_pretrained(
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
    except Exception as error:  # of whatever a strange folder or the network does
        raise InputError(
            f"a model of `transformers` at {name}, its weights as safetensors",
            _reason(error),
            "check the name or the folder",
        ) from None


def _reason(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:160]


def _harmless(description: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without what would fetch or run code, or says how it was stored."""
    return {
        key: value
        for key, value in description.items()
        if not key.startswith("_") and key not in LEFT_OUT
    }


def _family(model_type: object) -> str:
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise InputError(
            f"a model of {', '.join(FAMILIES)}",
            repr(model_type),
            "load it in Python and use Classifier.wrap",
        )
    return FAMILIES[model_type][1]


def _with_classes(description: dict[str, Any], classes: int) -> dict[str, Any]:
    if _family(description["model_type"]) == CAUSAL:
        return description
    return {**description, "id2label": {}, "label2id": {}, "num_labels": classes}


def _checked(text: str) -> dict[str, Any]:
    """Return a harmless configuration of sensible sizes."""
    description = _harmless(json.loads(text))
    _check(description)
    return description


def _check(description: Any) -> None:
    """Raise a `ValueError` where a configuration would build something of no sensible size."""
    _family(description["model_type"])
    for key, value in description.items():
        limit = MOST_LAYERS if "layers" in key or key in ("depths", "n_layer") else LARGEST_NUMBER
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not abs(number) <= limit:
                raise ValueError(f"{key} is {number}")


def local(name: str) -> bool:
    """Return whether the name is that of a folder with a configuration."""
    return (Path(name) / "config.json").is_file()
