"""Publish a model with its resistance card: a folder that loads back, or a model on the hub."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from safetensors.torch import load_file, save

from rootbound.cli.networks import add_head, is_own, own_network
from rootbound.core.errors import InputError
from rootbound.core.files import write_atomically
from rootbound.data.transforms import describe_inputs
from rootbound.networks import Classifier
from rootbound.networks.hugging_face import CONFIGURED, PRETRAINED, find_auto_class
from rootbound.networks.weights import weights_digest
from rootbound.publishing.card import resistance_card, to_markdown
from rootbound.publishing.checkpoint import load_with_header, read_header
from rootbound.publishing.header import Header, hide_paths
from rootbound.publishing.hub import CARD, CONFIG, README, WEIGHTS, import_hub_library, push_to_hub
from rootbound.publishing.transformers_folder import to_transformers_files
from rootbound.records import Evaluation


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("checkpoint", type=str, help="model file written by 'rootbound train'")
    parser.add_argument("run", type=str, help="folder in which 'rootbound audit' attacked it")
    parser.add_argument(
        "--out", type=str, default="rootbound-export", help="folder for weights, config and card"
    )
    parser.add_argument(
        "--model", type=str, default=None,
        help="where that was trained with --model file.py:function: the same",
    )  # fmt: skip
    add_head(parser)
    parser.add_argument(
        "--push-to-hub", type=str, default=None,
        help="OWNER/NAME on the Hugging Face hub; you are logged in with `hf auth login`, or by "
        "HF_TOKEN",
    )  # fmt: skip
    parser.add_argument(
        "--private", action="store_true", help="make the hub's repository private, if it is new"
    )
    parser.add_argument("--commit-message", type=str, default=None, help="on the hub")
    parser.add_argument("--branch", type=str, default=None, help="on the hub (default: main)")
    parser.add_argument(
        "--create-pr", action="store_true", help="on the hub: ask for the change, do not make it"
    )


def run(options: Namespace) -> int:
    """Write the folder, and send it to the hub if that is asked for."""
    path, folder = Path(options.checkpoint), Path(options.out)
    model, header = _opened(options, path)
    card = _card(options, model)
    if options.push_to_hub is not None:
        import_hub_library()  # so that nothing is written where it is missing
    place = options.push_to_hub or folder.resolve().name
    files = _model_files(path, model, header, card["desirable"]["classes"])
    reader = "torch" if model.head_name else find_auto_class(model)
    files[README] = to_markdown(card, place, reader).encode()
    # Last, because it vouches for the others.
    files[CARD] = _json(card)
    for file, content in files.items():
        write_atomically(folder / file, content)
    sys.stdout.write(f"model and card: {folder}\n")
    if options.push_to_hub is not None:
        sys.stdout.write(f"hub: {_sent(options, list(files))}\n")
    return 0


def _card(options: Namespace, model: Classifier) -> dict[str, Any]:
    """Return the card of a model by the run in which it was attacked."""
    path, digest = options.checkpoint, weights_digest(model.state_dict())
    evaluation = Evaluation.load(Path(options.run))
    attacked = evaluation.context.get("weights", {})
    name = next((name for name, other in attacked.items() if other == digest), None)
    if name is None:
        raise InputError(
            f"a run in which the weights of {path} were attacked",
            f"one of other weights in {options.run}",
            f"run rootbound audit {path}",
        )
    card = resistance_card(evaluation, name, digest)
    if card["desirable"] is None:
        raise InputError(
            f"a run that says what {path} is for",
            f"none in {options.run}",
            "audit it with --desirable",
        )
    return card


def _sent(options: Namespace, files: Sequence[str]) -> str:
    """Send the files to the hub; return their address."""
    return push_to_hub(
        options.out,
        options.push_to_hub,
        files=files,
        commit_message=options.commit_message,
        private=options.private or None,
        branch=options.branch,
        create_pr=options.create_pr or None,
    )


def _opened(options: Namespace, path: Path) -> tuple[Classifier, Header]:
    """Return the model of a file, and what the file says of it."""
    if not is_own(options.model):
        return load_with_header(path)
    model, header = own_network(options.model, options.head, place=str(path)), read_header(path)
    if header is None:
        raise InputError(f"a file of 'rootbound train' at {path}", "another", "train it first")
    return model, header


def _model_files(
    path: Path, model: Classifier, header: Header, classes: Sequence[str]
) -> dict[str, bytes]:
    """Return the files that the model is loaded from, by name; no path of this machine in them."""
    origin = hide_paths(header.origin)
    metadata = Header(model.architecture, model.classes, header.shape, origin).to_metadata()
    if model.architecture.startswith(CONFIGURED):
        tokeniser = header.origin.tokeniser.removeprefix(PRETRAINED)
        return to_transformers_files(model, classes, tokeniser, metadata)
    config = {
        "library": "rootbound",
        "architecture": model.architecture,
        "classes": classes,
        "inputs": describe_inputs(header.shape, origin.scaling),
        "origin": {
            name: str(value) if name == "method" else value
            for name, value in vars(origin).items()
            if name != "scaling"
        },
    }
    return {WEIGHTS: save(load_file(path), metadata), CONFIG: _json(config)}


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
