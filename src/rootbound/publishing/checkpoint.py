"""Our own model files: safetensors with weights and plain text, without code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from rootbound.core.errors import InputError, take_first_line
from rootbound.core.files import write_atomically
from rootbound.networks.classifier import Classifier
from rootbound.networks.hugging_face.configuration import CONFIGURED
from rootbound.networks.hugging_face.network import build_from_weights, to_transformers
from rootbound.networks.registry import build, short_name
from rootbound.networks.weights import check_finite, check_fit, copy_weights, own_weights
from rootbound.publishing.file_kinds import SAFETENSORS, find_kind
from rootbound.publishing.header import METADATA_KEY, Header, Origin


class UnknownNetwork(InputError):
    """The file of the weights does not say which network they belong to."""


def save_model(model: Classifier, path: Path | str, shape: tuple[int, ...], origin: Origin) -> None:
    """Write a model, whole or not at all.

    A wrapped network is written so that its own `load_state_dict` can read it.

    Args:
        model: A model of a built-in architecture, or one made by `Classifier.wrap`.
        path: Path of the file.
        shape: Shape of the samples that it was built for.
        origin: Where it comes from.

    Raises:
        InputError: The architecture has no name or is no longer that of the model, or the path
            cannot be written.
    """
    check_saved(model, shape)
    write_atomically(Path(path), to_model_file(model, shape, origin))


def check_saved(model: Classifier, shape: tuple[int, ...]) -> None:
    """Raise an `InputError` if a model could not be read again from its file."""
    of_transformers = model.architecture.startswith(CONFIGURED)
    if of_transformers or not model.head_name:
        if not model.architecture:
            raise InputError(
                "a model of a built-in architecture",
                "one wrapped by hand",
                "save its state_dict() with safetensors instead",
            )
        try:
            if of_transformers:
                to_transformers(model)
            else:
                _check_architecture(model.state_dict(), model.architecture, model.classes, shape)
        except ValueError as error:
            raise InputError(
                f"a model that is as its architecture and its shape {shape} say",
                str(error)[:240],
                "save its state_dict() with safetensors instead",
            ) from None


def to_model_file(model: Classifier, shape: tuple[int, ...], origin: Origin) -> bytes:
    """Return the content of a model's file, as `load_model` or the wrapped network reads it.

    Args:
        model: Model of a built-in architecture, or made by `Classifier.wrap`.
        shape: Shape of the samples that it takes.
        origin: Where it comes from.
    """
    own = model.head_name and not model.architecture.startswith(CONFIGURED)
    weights = model.unwrapped().state_dict() if own else own_weights(model)
    return save(
        copy_weights(weights),
        Header(model.architecture, model.classes, shape, origin).to_metadata(),
    )


def load_model(path: Path | str) -> tuple[Classifier, Origin]:
    """Read a model written by `save_model`; nothing in the file is executed.

    Raises:
        InputError: The file is missing, damaged, not ours, or its weights do not fit.
    """
    model, header = load_with_header(Path(path))
    return model, header.origin


def load_with_header(path: Path) -> tuple[Classifier, Header]:
    """Read a model as `load_model` does, with the whole header of its file."""
    description, weights = _read(path, tensors=True)
    if description.get("architecture") == "":
        raise UnknownNetwork(
            f"a model of a built-in architecture in {path}",
            "one of a network of your own",
            "pass that network as `module`",
        )
    try:
        header = Header.from_json(description)
        if header.architecture.startswith(CONFIGURED):
            model = build_from_weights(weights, header.architecture, header.classes)
        else:
            network = header.architecture, header.classes, header.shape
            _check_architecture(weights, *network)
            model = build(*network)
            model.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(
            f"a model of a built-in architecture in {path}",
            take_first_line(error, 240),
            "save it again with rootbound",
        ) from None
    check_finite(model, path)
    model.shape, model.origin = header.shape, header.origin
    return model, header


def read_header(path: Path) -> Header | None:
    """Return the header of a model file without reading the weights.

    Returns:
        None if the file is missing, damaged, or not one of ours.
    """
    try:
        content, _ = _read(path, tensors=False)
        return Header.from_json(content)
    except ValueError:
        return None


def _check_architecture(
    weights: Mapping[str, torch.Tensor], name: str, classes: int, shape: tuple[int, ...]
) -> None:
    """Raise a `ValueError` if weights do not fit the network that their file describes."""
    with torch.device("meta"):  # this uses no memory: a foreign file may claim any size
        network = build(name, classes, shape)
    check_fit(weights, network, f"{short_name(name)} for {classes} classes")


def _read(path: Path, *, tensors: bool) -> tuple[dict[str, Any], Mapping[str, torch.Tensor]]:
    """Return the description in a model file, and optionally its tensors."""
    if not path.is_file():
        raise InputError(f"a model file at {path}", "no such file", "train one, or check the path")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys() if tensors else ()
            weights = {name: file.get_tensor(name) for name in names}
        description = json.loads(metadata[METADATA_KEY])
    except KeyError:
        raise UnknownNetwork(
            f"a safetensors file written by rootbound at {path}",
            "one without its description",
            "pass its network as `module`",
        ) from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        if find_kind(path) != SAFETENSORS:  # this raises an error if it is not a file of weights
            raise UnknownNetwork(
                f"a safetensors file written by rootbound at {path}",
                "another, as PyTorch writes them",
                "pass its network as `module`",
            ) from None
        raise InputError(
            f"a safetensors file at {path}",
            take_first_line(error),
            "the file is damaged or of another format",
        ) from None
    if not isinstance(description, dict):
        raise InputError(f"a description in {path}", type(description).__name__, "save it again")
    return description, weights
