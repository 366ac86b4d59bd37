"""The public model of an audit: its source, and a check that it takes the same inputs."""

from __future__ import annotations

from rootbound.cli.networks import (
    NetworkSource,
    is_own,
    resolve_network,
    resolve_transformers,
)
from rootbound.cli.options import NetworkOptions
from rootbound.cli.scaling import in_words
from rootbound.core.errors import InputError
from rootbound.data import Scaling, Tasks
from rootbound.datasets import HashedWords
from rootbound.networks import Classifier
from rootbound.networks.hugging_face.configuration import PRETRAINED
from rootbound.networks.hugging_face.tokeniser import pretrained_tokeniser
from rootbound.publishing.checkpoint import read_header
from rootbound.publishing.published import find_weights

FUNCTION = "a function that returns it: file.py:function"


def resolve_public(path: str, options: NetworkOptions) -> NetworkSource:
    """Return the source of the public model.

    Args:
        path: `hf:NAME`; a model file, published folder or hub name; or `file.py:function`.
        options: The network of the audited weights, also for a file that has only weights.

    Raises:
        InputError: There is no such model, it is damaged, its card is about another one, or a file
            has only weights and their network is not known.
    """
    if path.startswith(PRETRAINED):
        return resolve_transformers(path)
    if is_own(path):
        return NetworkSource(path)
    weights = find_weights(path).weights
    expected = f"a public model at {path}"
    if not weights.is_file():
        raise InputError(expected, "no such file", f"correct --public, or name {FUNCTION}")
    header = read_header(weights)
    if header is not None and header.architecture:
        return resolve_network(NetworkOptions(), path)
    if options.model is None:
        raise InputError(
            f"{expected} that says which network it is",
            "a file without our description",
            f"give --public hf:NAME, or {FUNCTION}",
        )
    return resolve_network(options, path)


def build_public(source: NetworkSource, audited: NetworkSource, tasks: Tasks) -> Classifier:
    """Return the public model with its own head, which attacks replace.

    Args:
        source: Its source.
        audited: The source of the audited model, for which inputs are tokenised and scaled.
        tasks: The tasks with these inputs.

    Raises:
        InputError: It was made for inputs by another tokeniser or scaling, or cannot be built.
    """
    if tasks.undesirable.train.tokens:
        _check_tokeniser(source, audited)
    else:
        task = tasks.desirable or tasks.undesirable
        _check_scaling(source, audited.scaling or task.train.scaling)
    # Build it for its own classes, which may not be the desirable ones.
    return source.build(tasks if source.weights is None else Tasks.alone(tasks.undesirable))


def _check_tokeniser(source: NetworkSource, audited: NetworkSource) -> None:
    is_known = source.tokeniser or (source.header is not None and source.header.origin.is_known)
    if not is_known or source.tokeniser == audited.tokeniser:
        return
    if _list_pieces(source.tokeniser) != _list_pieces(audited.tokeniser):
        raise InputError(
            "a public model whose tokens are those of the audited one "
            f"({_name_tokeniser(audited)})",
            f"one with others ({_name_tokeniser(source)})",
            "take one with the same tokeniser",
        )


def _list_pieces(tokeniser: str) -> dict[int, str]:
    """Return the text of each used token; nothing for hashed words, which have no list."""
    if not tokeniser:
        return {}
    pieces = pretrained_tokeniser(tokeniser.removeprefix(PRETRAINED)).vocabulary()
    return {number: piece for number, piece in enumerate(pieces) if piece}


def _name_tokeniser(source: NetworkSource) -> str:
    return source.tokeniser or HashedWords.__name__


def _check_scaling(source: NetworkSource, scaling: Scaling) -> None:
    own = source.scaling
    if own is not None and not own.is_close(scaling):
        raise InputError(
            f"a public model for inputs with this scaling: {in_words(scaling)}",
            f"one that was trained on {in_words(own)}",
            f"rescale the inputs inside a network, and name {FUNCTION}",
        )
