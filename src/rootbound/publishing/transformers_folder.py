"""A network as a folder that `transformers` alone can read, and its weights read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from rootbound.networks.classifier import Classifier
from rootbound.networks.hugging_face.network import (
    ATTENTION,
    CONFIGURED,
    build_configured,
    from_transformers,
    to_transformers,
)
from rootbound.networks.hugging_face.tokeniser import load_tokeniser
from rootbound.publishing.hub import WEIGHTS


def to_transformers_files(
    model: Classifier, classes: Sequence[str], tokeniser: str, metadata: Mapping[str, str]
) -> dict[str, bytes]:
    """Return the files of a folder that `transformers` alone reads, by name.

    Args:
        model: A model of `transformers`.
        classes: Names of its classes, for the configuration of one that classifies.
        tokeniser: Name or folder of the pretrained model whose tokeniser texts are for; empty if
            there is none. A model of images gets none, whatever is named.
        metadata: Metadata to write into the file of weights.

    Raises:
        InputError: The head is not as the library has it, or there is no such tokeniser.
    """
    network = to_transformers(model)
    if network.config.num_labels == len(classes) == model.classes:
        network.config.id2label = dict(enumerate(classes))
        network.config.label2id = {name: number for number, name in enumerate(classes)}
    with TemporaryDirectory() as folder:
        network.save_pretrained(folder, max_shard_size="1TB")
        if tokeniser and network.main_input_name == "input_ids":
            load_tokeniser(tokeniser).save_pretrained(folder)
        weights = load_file(Path(folder, WEIGHTS))
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    return files | {WEIGHTS: save(weights, {"format": "pt", **metadata})}


def to_own_names(
    weights: Mapping[str, Tensor], architecture: str, classes: int
) -> Mapping[str, Tensor]:
    """Return weights under the names of a `Classifier`, where they have those of the library.

    Args:
        weights: Weights from a file.
        architecture: Architecture of the model; weights of others than `transformers` are
            returned as they are.
        classes: Number of its classes.

    Raises:
        InputError: The architecture is no configuration of `transformers`.
        ValueError: There are too many or too few weights.
    """
    if not architecture.startswith(CONFIGURED) or "head.weight" in weights:
        return weights
    with torch.device("meta"):  # without memory: a stranger's file may claim any size
        network = build_configured(architecture.removeprefix(CONFIGURED), classes)
    parameters = network.state_dict(keep_vars=True).values()
    misfit = f"weights that do not fit {network.config.model_type} for {classes} classes"
    # Shared weights have several names, and count once.
    expected = sum({id(value): value.numel() for value in parameters}.values())
    if sum(value.numel() for value in weights.values()) != expected:
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
    return from_transformers(network).state_dict()
