"""The folder of a model: its weights and their description."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rootbound.core.errors import InputError
from rootbound.core.files import encode, write_atomically
from rootbound.data.transforms import describe_inputs
from rootbound.networks.classifier import Classifier
from rootbound.networks.hugging_face.configuration import CONFIGURED, PRETRAINED
from rootbound.publishing.checkpoint import check_saved, to_model_file
from rootbound.publishing.header import Header, Origin, hide_paths
from rootbound.publishing.hub import CONFIG, WEIGHTS
from rootbound.publishing.transformers_folder import to_transformers_files


def save_folder(model: Classifier, folder: Path) -> None:
    """Write a model and its description into a folder.

    Raises:
        InputError: The shape of its samples is not known, it could not be read again, or the folder
            cannot be written.
    """
    if not model.shape:
        raise InputError(
            "a model with a known shape of samples, as every model that was trained here has",
            "one without it",
            "set its `shape`, that of a sample: model.shape = (3, 32, 32)",
        )
    check_saved(model, model.shape)
    origin = model.origin or Origin.of_stranger()
    header = Header(model.architecture, model.classes, model.shape, origin)
    names = origin.desirable.split(",")
    files = to_files(model, header, names if len(names) == model.classes else None)
    for name, content in files.items():
        write_atomically(folder / name, content)


def to_files(model: Classifier, header: Header, classes: Sequence[str] | None) -> dict[str, bytes]:
    """Return the files of a model by name, without paths of this machine in them.

    Args:
        model: A model of a built-in architecture, of `transformers`, or made by `Classifier.wrap`.
        header: Its description.
        classes: Names of its classes, if they are known.
    """
    origin = hide_paths(header.origin)
    if model.architecture.startswith(CONFIGURED):
        tokeniser = header.origin.tokeniser.removeprefix(PRETRAINED)
        metadata = Header(model.architecture, model.classes, header.shape, origin).to_metadata()
        return to_transformers_files(model, classes or (), tokeniser, metadata)
    config = {
        "library": "rootbound",
        "architecture": model.architecture,
        "classes": classes,
        "inputs": describe_inputs(header.shape, origin.scaling),
        "origin": {
            name: str(value) if name == "method" else value
            for name, value in vars(origin).items()
            if name != "scaling"
        }
        if origin.is_known
        else None,
    }
    return {WEIGHTS: to_model_file(model, header.shape, origin), CONFIG: to_json(config)}


def to_json(content: object) -> bytes:
    """Return the content of a JSON file that people can read."""
    return encode(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
