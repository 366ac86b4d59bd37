"""A network as a folder that `transformers` alone can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.torch import load_file, save

from rootbound.networks.classifier import Classifier
from rootbound.networks.hugging_face.network import to_transformers
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
