"""Finding, loading and checking weights with their card, in a folder or on the hub."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rootbound.core.errors import InputError, take_first_line
from rootbound.networks.classifier import Classifier
from rootbound.networks.hugging_face.configuration import PRETRAINED
from rootbound.networks.hugging_face.network import build
from rootbound.networks.weights import own_weights, weights_digest
from rootbound.networks.wrapping import require_network
from rootbound.publishing.checkpoint import load_with_header, read_header
from rootbound.publishing.folders import ENDINGS, OTHERWISE, PREFERRED, find_in_folder
from rootbound.publishing.foreign import load_weights
from rootbound.publishing.header import Header, Origin
from rootbound.publishing.hub import (
    CARD,
    CONFIG,
    DEFAULT_DOWNLOAD,
    TOKENISER_FILES,
    WEIGHTS,
    DownloadOptions,
    download_files,
)

TOKENISER = "tokenizer_config.json"
LARGEST_CARD = 2**23
"""Largest card, in bytes; it may contain the names of all tokens of a language model."""


@dataclass(frozen=True)
class WeightsLocation:
    """Where weights are on this machine.

    Args:
        weights: The file.
        folder: The published folder with the file; None if only the file was named.
        key: Which weights to take, if a foreign file has several.
    """

    weights: Path
    folder: Path | None
    key: str | None = None

    def load(self) -> tuple[Classifier, Header]:
        """Load a model and its header from a file that describes both; nothing is executed.

        Raises:
            InputError: The model is missing or damaged, or its card is about other weights.
        """
        model, header = load_with_header(self.weights)
        origin = header.origin
        if self.folder is not None and origin.tokeniser and (self.folder / TOKENISER).is_file():
            origin = replace(origin, tokeniser=f"{PRETRAINED}{self.folder}")
        self.check_card(model)
        return model, replace(header, origin=origin)

    def load_into(
        self,
        module: nn.Module,
        head: str | None = None,
        example: Tensor | None = None,
        fresh: Callable[[], nn.Module] | None = None,
    ) -> Classifier:
        """Return a user's own network with these weights; nothing beside them is executed.

        Args:
            module: The network, whose `load_state_dict` reads the weights. It is copied, with
                half-precision weights as float32.
            head: Name of its last linear layer, as `Classifier.wrap` takes it.
            example: Inputs to find and check the head with.
            fresh: Function that makes the same network with random weights.

        Raises:
            InputError: The weights are missing, damaged or do not fit, a card is about others,
                or the network cannot be wrapped.
        """
        # Convert to single precision first: weights trained in it must not be rounded, or they
        # would no longer be those of their card.
        network = copy.deepcopy(module).float()
        done = load_weights(network, self.weights, self.key)
        model = Classifier.wrap(network, head, example, fresh)
        model.conversion = done
        if (header := read_header(self.weights)) is not None:
            model.shape, model.origin = header.shape, header.origin
        self.check_card(model)
        return model

    def check_card(self, model: Classifier) -> None:
        """Raise an `InputError` if the folder's card is damaged or about other weights."""
        if self.folder is None or not (path := self.folder / CARD).is_file():
            return
        try:
            if path.stat().st_size > LARGEST_CARD:
                raise ValueError(f"more than {LARGEST_CARD} bytes")
            stated = json.loads(path.read_text(encoding="utf-8"))["weights_sha256"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"a resistance card at {path}", take_first_line(error), "export the model again"
            ) from None
        digest = weights_digest(own_weights(model))
        if stated != digest:
            raise InputError(
                f"the weights that {path} is about (SHA-256 {str(stated)[:16]}…)",
                f"others ({digest[:16]}…)",
                "do not trust the card: audit these weights",
            )


def find_weights(name: str, download: DownloadOptions = DEFAULT_DOWNLOAD) -> WeightsLocation:
    """Return the location of weights: a file, a published folder, or a download from the hub.

    Raises:
        InputError: The hub has nothing of that name, or cannot be reached.
    """
    path = Path(name)
    if not path.is_dir():
        if path.is_file() or path.suffix in ENDINGS:
            return WeightsLocation(path, None)
        if name.count("/") != 1 or any(part in ("", ".", "..") for part in name.split("/")):
            raise InputError(
                f"a model file or folder at {name!r}, or OWNER/NAME of the hub",
                "no such file",
                "train one, or check the path",
            )
        path = download_files(name, [*PREFERRED, CONFIG, CARD, *TOKENISER_FILES], download)
        if not find_in_folder(path).is_file():
            path = download_files(name, [*OTHERWISE, CONFIG], download)
    return WeightsLocation(find_in_folder(path), path)


def load(
    name: str | Path,
    module: nn.Module | None = None,
    *,
    head: str | None = None,
    fresh: Callable[[], nn.Module] | None = None,
    key: str | None = None,
    **download: Any,
) -> Classifier:
    """Load what `rootbound train` or `rootbound export` wrote, in evaluation mode.

    Nothing that comes with the weights is executed.

    Args:
        name: A model file, a folder with its card, or `OWNER/NAME` on the Hugging Face hub.
        module: Your own network, if the weights belong to one; it is copied.
        head: With `module`: its last linear layer, as `Classifier.wrap` takes it.
        fresh: With `module`: makes it with random weights, as for `Classifier.wrap`.
        key: With `module`: which weights to take, if a foreign file has several.
        download: Options of a download from the hub, named as its library names them: `revision`,
            `token`, `cache_dir`, `local_files_only` and `force_download`.

    Raises:
        InputError: There is no such model, it is damaged, it does not fit the module, it needs a
            module that was not given, or its card describes other weights.
    """
    if module is not None:
        require_network(module)
    location = replace(find_weights(str(name), DownloadOptions(**download)), key=key)
    model = location.load()[0] if module is None else location.load_into(module, head, None, fresh)
    return model.eval()


def load_checkpoint(
    name: Path | str, download: DownloadOptions = DEFAULT_DOWNLOAD
) -> tuple[Classifier, Origin]:
    """Load a model file, a published folder, or a model on the hub.

    Nothing is executed. If there is a card, it must be about these weights.

    Raises:
        InputError: There is nothing of that name, it is damaged, or the card is about other
            weights.
    """
    model, header = find_weights(str(name), download).load()
    return model, header.origin


def load_transformers(name: str) -> Classifier:
    """Load a model of `transformers` from a folder or the hub, with its own head.

    Nothing is executed. If there is a card, it must be about these weights.

    Args:
        name: `hf:` and a name or folder.

    Raises:
        InputError: There is no such model, its family is not known here, or the card is damaged
            or about other weights.
    """
    model = build(name)
    _find_card(name).check_card(model)
    return model


def check_transformers_card(name: str) -> None:
    """Raise an `InputError` as `load_transformers` does, if such a model has a card.

    Args:
        name: `hf:` and a name or folder.
    """
    location = _find_card(name)
    if location.folder is not None and (location.folder / CARD).is_file():
        location.check_card(build(name))


def _find_card(name: str) -> WeightsLocation:
    """Return the folder of a model of `transformers`; from the hub, download only its card."""
    name = name.removeprefix(PRETRAINED)
    folder = Path(name) if Path(name).is_dir() else download_files(name, [CARD], DEFAULT_DOWNLOAD)
    return WeightsLocation(folder / WEIGHTS, folder)
