"""Weights with their card, in a folder or on the Hugging Face hub."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rootbound.errors import InputError
from rootbound.models.checkpoint import Origin, load_model
from rootbound.models.classifier import Classifier
from rootbound.models.digest import weights_digest
from rootbound.models.hugging_face import PRETRAINED, as_published

WEIGHTS, CONFIG, CARD, README = "model.safetensors", "config.json", "card.json", "README.md"
TOKENISER = "tokenizer_config.json"
OTHERS = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json")
"""Files of a tokeniser, as `transformers` calls them."""
LARGEST_CARD = 2**23
"""Bytes; the names of a language model's tokens are among them."""


def load_checkpoint(name: str) -> tuple[Classifier, Origin]:
    """Load a model file, a published folder, or what the hub has under that name.

    Nothing is executed. Where there is a card, its weights must be these.

    Raises:
        InputError: there is nothing of that name, it is damaged, or the card is of other weights.
    """
    if Path(name).is_file() or name.endswith(".safetensors"):
        return load_model(Path(name))
    folder = Path(name) if Path(name).is_dir() else _fetched(name)
    model, origin = load_model(folder / WEIGHTS)
    if origin.tokeniser and (folder / TOKENISER).is_file():
        origin = replace(origin, tokeniser=f"{PRETRAINED}{folder}")
    check_card(folder, model)
    return model, origin


def load_plain(name: str) -> Classifier:
    """Load a model of `transformers` from a folder or the hub, with the head that it came with.

    Nothing is executed. Where there is a card, its weights must be these.

    Args:
        name: `hf:` and a name or folder.

    Raises:
        InputError: there is no such model, it is of a family that is not known here, or the card
            is damaged or of other weights.
    """
    model, place = as_published(name), name.removeprefix(PRETRAINED)
    check_card(Path(place) if Path(place).is_dir() else _snapshot(place, [CARD]), model)
    return model


def check_card(folder: Path, model: Classifier) -> None:
    """Raise an `InputError` where a folder has a card that is damaged or of other weights."""
    if (folder / CARD).is_file():
        _check(folder / CARD, weights_digest(model.state_dict()))


def hub() -> Any:
    """Return the library `huggingface_hub`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise InputError(
            "the library `huggingface_hub`", "none", "pip install 'rootbound[hub]'"
        ) from None


def _fetched(name: str) -> Path:
    if name.count("/") != 1 or any(part in ("", ".", "..") for part in name.split("/")):
        raise InputError(
            f"a model file or folder at {name!r}, or OWNER/NAME of the hub",
            "no such file",
            "train one: rootbound train",
        )
    return _snapshot(name, [WEIGHTS, CONFIG, CARD, *OTHERS])


def _snapshot(name: str, files: Sequence[str]) -> Path:
    """Return the folder to which files of the hub were downloaded, those of them that it has."""
    try:
        return Path(hub().snapshot_download(name, allow_patterns=files))
    except InputError:
        raise
    except Exception as error:  # of whatever the network does
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"a model file, a folder, or a model of the hub at {name}", reason, "check the name"
        ) from None


def _check(path: Path, digest: str) -> None:
    try:
        if path.stat().st_size > LARGEST_CARD:
            raise ValueError(f"more than {LARGEST_CARD} bytes")
        claimed = json.loads(path.read_text(encoding="utf-8"))["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(f"a resistance card at {path}", reason, "export the model again") from None
    if claimed != digest:
        raise InputError(
            f"the weights that {path} is about (SHA-256 {str(claimed)[:16]}…)",
            f"others ({digest[:16]}…)",
            "do not trust the card: audit these weights",
        )
