"""A network of `transformers` as a `Classifier`, and back."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rootbound.errors import InputError
from rootbound.models.classifier import Classifier
from rootbound.models.hugging_face.blocks import FAMILIES

PRETRAINED = "hf:"
"""Before the name of a model on the hub, or of its folder."""
CONFIGURED = "transformers:"
"""Before the configuration, in the `architecture` of such a model."""
LARGEST_NUMBER, MOST_LAYERS = 10**7, 1000
"""In a stranger's configuration."""


def library() -> Any:
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
            network = _configured(name.removeprefix(CONFIGURED), classes)
        else:
            network = _pretrained(name.removeprefix(PRETRAINED), classes)
    return from_transformers(network)


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
    network.set_attn_implementation("eager")
    description = {"model_type": config.model_type, **config.to_diff_dict()}
    # A model's own code, which is never run, and where its weights came from.
    kept = {
        key: value for key, value in description.items() if key not in ("auto_map", "_name_or_path")
    }
    text = json.dumps(kept, sort_keys=True, default=str)
    backbone = nn.Sequential(*make(network))
    return Classifier(backbone, network.get_submodule(head), CONFIGURED + text)


def to_transformers(model: Classifier) -> Any:
    """Return the network of `transformers` that has these weights.

    Raises:
        InputError: it is none, or its head is of another kind than the library's.
    """
    if not model.architecture.startswith(CONFIGURED):
        raise InputError("a model of `transformers`", model.architecture, "it is saved by torch")
    network = _configured(model.architecture.removeprefix(CONFIGURED), model.classes)
    from_transformers(network).load_state_dict(model.state_dict())
    return network.eval()


def _configured(text: str, classes: int) -> Any:
    """Return a network by its configuration, with random weights."""
    description = json.loads(text)
    _check(description)
    config = library().AutoConfig.for_model(**_with_classes(description, classes))
    return _new(config)


def _pretrained(name: str, classes: int) -> Any:
    """Return a network with the weights of a folder or of the hub."""
    auto = library()
    try:
        config = auto.AutoConfig.from_pretrained(name, trust_remote_code=False)
        family = _family(config.model_type)
        kind = getattr(auto, family)
        changes = {} if family == "AutoModelForCausalLM" else {"num_labels": classes}
        return kind.from_pretrained(
            name,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            attn_implementation="eager",
            dtype=torch.float32,
            **changes,
        )
    except InputError:
        raise
    except Exception as error:  # of whatever a strange folder or the network does
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"a model of `transformers` at {name}, its weights as safetensors",
            reason,
            "check the name or the folder",
        ) from None


def _new(config: Any) -> Any:
    kind = getattr(library(), _family(config.model_type))
    return kind.from_config(config, trust_remote_code=False, attn_implementation="eager")


def _family(model_type: str) -> str:
    if model_type not in FAMILIES:
        raise InputError(
            f"a model of {', '.join(FAMILIES)}",
            repr(model_type),
            "load it in Python and use Classifier.wrap",
        )
    return FAMILIES[model_type][1]


def _with_classes(description: dict[str, Any], classes: int) -> dict[str, Any]:
    if FAMILIES.get(description["model_type"], ("", "AutoModelForCausalLM", ""))[1].endswith("LM"):
        return description
    return {**description, "id2label": {}, "label2id": {}, "num_labels": classes}


def _check(description: Any) -> None:
    """Raise a `ValueError` where a configuration would build something of no sensible size."""
    _family(str(description["model_type"]))
    for key, value in description.items():
        limit = MOST_LAYERS if "layers" in key or key in ("depths", "n_layer") else LARGEST_NUMBER
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and not 0 <= abs(number) <= limit:
                raise ValueError(f"{key} is {number}")


def local(name: str) -> bool:
    """Return whether the name is that of a folder with a configuration."""
    return (Path(name) / "config.json").is_file()
