"""Saving and loading models as safetensors: weights and plain text, no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from rootbound.core.errors import InputError
from rootbound.core.files import write_atomically
from rootbound.data import Scaling
from rootbound.networks.classifier import Classifier
from rootbound.networks.fit import check_fit
from rootbound.networks.registry import build, short_name
from rootbound.publishing.foreign import PICKLES
from rootbound.publishing.transformers_folder import own_names


@dataclass(frozen=True)
class Origin:
    """Where a saved model comes from.

    Args:
        method: the method's settings, as Python would write them.
        arm: `defended` or `undefended`.
        data: name of the data set.
        undesirable_data: name of the one with the undesirable classes, often the same.
        desirable: classes it is for, as in `0-4`.
        undesirable: classes it was made to resist.
        seed: of training.
        shared: whether the defender's undesirable samples are also the attacker's.
        tokeniser: of texts, `hf:` and the name of the pretrained model it belongs to.
        length: tokens of a text at most; 0 where there were no texts, or the file is of a time
            when that was not said.
        input_column: of the table that was read; empty if it was found by its type, or none.
        label_column: likewise.
        label_names: separated by commas; empty where the table has its own.
        train_split: as `datasets` writes it; empty for the part of that name.
        test_split: likewise.
        scaling: of the inputs that it was trained on; None where they were tokens, or where the
            file is of a time when that was not said.
    """

    method: str
    arm: str
    data: str
    undesirable_data: str
    desirable: str
    undesirable: str
    seed: int
    shared: bool
    tokeniser: str = ""
    length: int = 0
    input_column: str = ""
    label_column: str = ""
    label_names: str = ""
    train_split: str = ""
    test_split: str = ""
    scaling: Scaling | None = None


def save_model(model: Classifier, path: Path, shape: tuple[int, ...], origin: Origin) -> None:
    """Write a model of a built-in architecture, whole or not at all.

    Args:
        model: to save.
        path: of the file.
        shape: of the samples that it was built for.
        origin: where it comes from.

    Raises:
        InputError: the architecture has no name or is no longer that of the model, or the path
            cannot be written.
    """
    if not model.architecture:
        raise InputError(
            "a model of a built-in architecture",
            "one wrapped by hand",
            "save its state_dict() with safetensors instead",
        )
    # A copy of each: tied weights are two names for one memory, which the format has not.
    weights = {name: value.clone().contiguous() for name, value in model.state_dict().items()}
    try:
        _check(weights, model.architecture, model.classes, shape)
    except ValueError as error:
        raise InputError(
            f"a model that is as its architecture and its shape {shape} say",
            str(error)[:240],
            "save its state_dict() with safetensors instead",
        ) from None
    write_atomically(path, save(weights, described(model, shape, origin)))


def save_wrapped(model: Classifier, path: Path, shape: tuple[int, ...], origin: Origin) -> None:
    """Write the network that was wrapped as its own `load_state_dict` reads it.

    Args:
        model: made by `Classifier.wrap`.
        path: of the file.
        shape: of the samples that it takes.
        origin: where it comes from.

    Raises:
        InputError: the model is none that was wrapped, or the path cannot be written.
    """
    state = model.unwrapped().state_dict()
    weights = {name: value.clone().contiguous() for name, value in state.items()}
    write_atomically(path, save(weights, described(model, shape, origin)))


def described(model: Classifier, shape: tuple[int, ...], origin: Origin) -> dict[str, str]:
    """Return what a file of weights says of its model."""
    description = {
        "architecture": model.architecture,
        "classes": model.classes,
        "shape": list(shape),
        "origin": asdict(origin),
    }
    return {"rootbound": json.dumps(description)}


def load_model(path: Path) -> tuple[Classifier, Origin]:
    """Read a model written by `save_model`; nothing in the file is executed.

    Raises:
        InputError: the file is missing, damaged, not ours, or its weights do not fit.
    """
    description, weights = _read(path)
    if description.get("architecture") == "":
        raise InputError(
            f"a model of a built-in architecture in {path}",
            "one of a network of somebody's own",
            "name that by --model; in Python, give it to rb.load as module",
        )
    try:
        _check_types(description)
        shape = tuple(int(size) for size in description["shape"])
        name, classes = str(description["architecture"]), int(description["classes"])
        weights = own_names(weights, name, classes)
        _check(weights, name, classes, shape)
        model = build(name, classes, shape)
        model.load_state_dict(weights)
        origin = _origin(description)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:240]
        raise InputError(
            f"a model of a built-in architecture in {path}", reason, "save it again with rootbound"
        ) from None
    # As the model holds them: a number may be finite in the file's precision only.
    if not all(bool(torch.isfinite(value).all()) for value in model.state_dict().values()):
        raise InputError(f"finite weights in {path}", "NaN or infinite ones", "train it again")
    return model, origin


def saved_origin(path: Path) -> Origin | None:
    """Return where the weights of a file come from, if it is one of ours that says so."""
    try:
        description, _ = _read(path)
        _check_types(description)
        return _origin(description)
    except (InputError, KeyError, TypeError, ValueError, AttributeError):
        return None


def saved_shape(path: Path) -> tuple[int, ...]:
    """Return the shape of the samples that a model which `load_model` reads was built for.

    Raises:
        InputError: the file is missing, damaged or not ours.
    """
    return tuple(int(size) for size in _read(path)[0]["shape"])


def _origin(description: Mapping[str, Any]) -> Origin:
    known = {field.name for field in fields(Origin)}
    kept = {k: v for k, v in description["origin"].items() if k in known}
    scaling = kept.pop("scaling", None)
    return Origin(**kept, scaling=None if scaling is None else Scaling.stated(**scaling))


def _check(
    weights: Mapping[str, torch.Tensor], name: str, classes: int, shape: tuple[int, ...]
) -> None:
    """Raise a `ValueError` where weights are not those of a built-in network."""
    with torch.device("meta"):  # without memory: a stranger's file may claim any size
        network = build(name, classes, shape)
    check_fit(weights, network, f"{short_name(name)} for {classes} classes")


def _check_types(description: dict[str, Any]) -> None:
    if int(description["classes"]) < 2:
        raise ValueError(f"{description['classes']} classes")
    # Files of before have not all of it.
    absent = {part.name: part.default for part in fields(Origin) if part.default is not MISSING}
    origin = {**absent, **description["origin"]}
    scaling = origin.pop("scaling")
    if scaling is not None and not all(map(_of_floats, scaling.values())):
        raise TypeError(f"scaling is {scaling!r}, not of floats")
    for part in fields(Origin)[:-1]:
        value, expected = origin[part.name], str(part.type)
        if type(value).__name__ != expected:
            raise TypeError(f"{part.name} is {value!r}, not of type {expected}")


def _of_floats(value: object) -> bool:
    """Return whether this is a number, or a list of such, one for each channel."""
    return {type(one) for one in (value if isinstance(value, list) else [value])} == {float}


def _read(path: Path) -> tuple[dict[str, Any], Mapping[str, torch.Tensor]]:
    if not path.is_file():
        raise InputError(f"a model file at {path}", "no such file", "train one: rootbound train")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        description = json.loads(metadata["rootbound"])
    except KeyError:
        raise InputError(
            f"a safetensors file written by rootbound at {path}",
            "one without its description",
            "name its network by --model; in Python, use load_weights and Classifier.wrap",
        ) from None
    except (SafetensorError, OSError, ValueError) as error:
        if path.suffix in PICKLES:
            raise InputError(
                f"a safetensors file written by rootbound at {path}",
                "another, as PyTorch writes them",
                "name its network by --model",
            ) from None
        raise InputError(
            f"a safetensors file at {path}",
            str(error).splitlines()[0][:160],
            "the file is damaged or of another format",
        ) from None
    if not isinstance(description, dict):
        raise InputError(f"a description in {path}", type(description).__name__, "save it again")
    return description, weights
