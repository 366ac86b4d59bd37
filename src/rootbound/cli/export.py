"""Publish a model with its resistance card: a folder that loads back, or a model on the hub."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rootbound.cli.networks import (
    NetworkSource,
    is_own,
    refuse_network,
    resolve_network,
    resolve_transformers,
)
from rootbound.cli.options import NetworkOptions, option
from rootbound.core.errors import InputError
from rootbound.core.files import encode, write_atomically
from rootbound.data import Scaling
from rootbound.datasets import holds_data
from rootbound.networks import Classifier
from rootbound.networks.hugging_face.configuration import PRETRAINED, find_auto_class
from rootbound.networks.weights import own_weights, weights_digest
from rootbound.publishing.card import resistance_card, to_markdown
from rootbound.publishing.checkpoint import read_header
from rootbound.publishing.header import Header, Origin
from rootbound.publishing.hub import CARD, README, import_hub_library, push_to_hub
from rootbound.publishing.model_folder import to_files, to_json
from rootbound.publishing.published import find_weights
from rootbound.records import Evaluation


@dataclass(frozen=True)
class Options:
    """Options of `rootbound export`."""

    checkpoint: str
    """Audited weights: a model file, a file of another program, a published folder, OWNER/NAME on
    the hub, or hf:NAME; with the same --model as in the audit."""
    run: str
    """Folder in which 'rootbound audit' attacked it."""
    out: str = "rootbound-export"
    """Folder for weights, config and card."""
    network: NetworkOptions = NetworkOptions()
    push_to_hub: str | None = option(
        "Where on the Hugging Face hub. You log in with `hf auth login`, or by HF_TOKEN.",
        metavar="OWNER/NAME",
    )
    private: bool = False
    """Make the hub's repository private, if it is new."""
    commit_message: str | None = None
    """Message of the commit on the hub."""
    branch: str | None = None
    """Branch on the hub (default: main)."""
    create_pr: bool = False
    """Open a pull request on the hub instead of committing directly."""


def run(options: Options) -> int:
    """Write the folder, and upload it to the hub if --push-to-hub is given."""
    if not options.out.strip():
        raise InputError("a folder in --out", "nothing", "name one, or leave it out")
    path, folder = options.checkpoint, Path(options.out)
    evaluation = Evaluation.load(Path(options.run))
    network = _resolve(options)
    model = _build(network, evaluation)
    card = _make_card(path, Path(options.run), evaluation, model)
    if options.push_to_hub is not None:
        import_hub_library()  # fail early, before anything is written
    header = network.header or _make_header(network, evaluation, model)
    files = to_files(model, header, card["desirable"] and card["desirable"]["classes"])
    reader = find_auto_class(model.architecture) or ("torch" if model.head_name else "")
    title = options.push_to_hub or folder.resolve().name
    files[README] = encode(to_markdown(card, title, reader))
    # The card is written last: if it is there, so are the other files.
    files[CARD] = to_json(card)
    _refuse_foreign_files(folder, list(files))
    for file, content in files.items():
        write_atomically(folder / file, content)
    sys.stdout.write(f"model and card: {folder}\n")
    if options.push_to_hub is not None:
        address = push_to_hub(
            folder,
            options.push_to_hub,
            files=list(files),
            commit_message=options.commit_message,
            private=options.private or None,
            branch=options.branch,
            create_pr=options.create_pr or None,
        )
        sys.stdout.write(f"hub: {address}\n")
    return 0


def _refuse_foreign_files(folder: Path, names: Sequence[str]) -> None:
    """Raise an `InputError` if a file that no export has written would be lost."""
    if holds_data(folder) and not (folder / CARD).exists():
        raise InputError(
            "a folder in --out for the model alone",
            f"{folder}, which holds a data set",
            "name another",
        )
    lost = [name for name in names if (folder / name).exists()]
    if lost and not (folder / CARD).exists():
        raise InputError(
            "an empty folder in --out, or one that an export wrote",
            f"{folder / lost[0]}, which would be lost",
            "name another",
        )


def _resolve(options: Options) -> NetworkSource:
    """Return the source of the model; the header of our own file says which network it is."""
    path, named = options.checkpoint, options.network
    if path.startswith(PRETRAINED):
        refuse_network(named, path)
        return resolve_transformers(path)
    header = read_header(find_weights(path).weights)
    described = header is not None and bool(header.architecture)
    return resolve_network(NetworkOptions() if described else named, path)


def _build(network: NetworkSource, evaluation: Evaluation) -> Classifier:
    """Return the model; facts that its file lacks come from the run that attacked it."""
    if network.model is not None:
        return network.model
    desirable, inputs = evaluation.context["desirable"], _describe_inputs(evaluation)
    classes = None if desirable is None else len(desirable["classes"])
    shape = tuple(inputs["shape"])
    if not is_own(network.name):
        return network.build_with_weights(classes, shape)
    if network.header is not None:
        return network.build_own()
    drawn = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    example = drawn if "divisor" in inputs else torch.zeros(1, *shape, dtype=torch.long)
    return network.build_own(classes=classes, example=example)


def _describe_inputs(evaluation: Evaluation) -> dict[str, Any]:
    """Return the network's inputs in a run: the shape of a sample, and the scaling."""
    context = evaluation.context
    inputs: dict[str, Any] = (context["desirable"] or context["undesirable"])["inputs"]
    return inputs


def _make_header(network: NetworkSource, evaluation: Evaluation, model: Classifier) -> Header:
    """Return a header for weights that have none."""
    inputs = _describe_inputs(evaluation)
    scaling = None
    if "divisor" in inputs:
        scaling = Scaling.stated(inputs["divisor"], inputs["mean"], inputs["deviation"])
    origin = Origin.of_stranger(network.tokeniser, scaling)
    return Header(model.architecture, model.classes, tuple(inputs["shape"]), origin)


def _make_card(
    path: str, folder: Path, evaluation: Evaluation, model: Classifier
) -> dict[str, Any]:
    """Return the card of a model from the run in which it was attacked."""
    digest = weights_digest(own_weights(model))
    attacked = evaluation.context.get("weights", {})
    name = next((name for name, weights in attacked.items() if weights == digest), None)
    if name is None:
        raise InputError(
            f"a run in which the weights of {path} were attacked",
            f"one of other weights in {folder}",
            f"run rootbound audit {path}",
        )
    return resistance_card(evaluation, name, digest)
