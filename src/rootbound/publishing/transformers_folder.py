"""A network as a folder that `transformers` alone can read, and its weights read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import safe_open
from safetensors.torch import save
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

WEIGHTS = "model.safetensors"


def to_transformers_files(
    model: Classifier, classes: Sequence[str], tokeniser: str, metadata: Mapping[str, str]
) -> dict[str, bytes]:
    """Return the files of a folder that `transformers` alone reads, by name.

    Args:
        model: of `transformers`.
        classes: names of them, for the configuration of one that classifies.
        tokeniser: name or folder of the pretrained model that texts are tokenised for; empty
            where there is none. A model of images has none, whatever is named.
        metadata: what the file of weights shall say besides.

    Raises:
        InputError: the head is not as the library has it, or there is no such tokeniser.
    """
    network = to_transformers(model)
    if network.config.num_labels == len(classes) == model.classes:
        network.config.id2label = dict(enumerate(classes))
        network.config.label2id = {name: number for number, name in enumerate(classes)}
    with TemporaryDirectory() as folder:
        network.save_pretrained(folder, max_shard_size="1TB")
        if tokeniser and network.main_input_name == "input_ids":
            load_tokeniser(tokeniser).save_pretrained(folder)
        with safe_open(Path(folder, WEIGHTS), framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    return found | {WEIGHTS: save(weights, {"format": "pt", **metadata})}


def to_own_names(
    weights: Mapping[str, Tensor], architecture: str, classes: int
) -> Mapping[str, Tensor]:
    """Return weights that have the library's names by those of a `Classifier`; others as they are.

    Args:
        weights: of a file.
        architecture: of the model.
        classes: number of them.

    Raises:
        InputError: the architecture is no configuration of `transformers`.
        ValueError: there are weights too many or too few.
    """
    if not architecture.startswith(CONFIGURED) or "head.weight" in weights:
        return weights
    with torch.device("meta"):  # without memory: a stranger's file may claim any size
        network = build_configured(architecture.removeprefix(CONFIGURED), classes)
    known = network.state_dict(keep_vars=True).values()
    misfit = f"weights that do not fit {network.config.model_type} for {classes} classes"
    expected = sum({id(value): value.numel() for value in known}.values())
    if sum(value.numel() for value in weights.values()) != expected:
        raise ValueError(misfit)
    # The library knows what it called them in each of its versions.
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
