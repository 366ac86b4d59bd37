"""Loading foreign weights into any network, without trusting them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks.classifier import Classifier
from rootbound.networks.hugging_face.configuration import CONFIGURED
from rootbound.networks.hugging_face.network import build_from_weights
from rootbound.networks.weights import check_finite, own_weights
from rootbound.publishing.fits import Fit, Network
from rootbound.publishing.folders import find_in_folder
from rootbound.publishing.name_lists import list_names, shorten_name
from rootbound.publishing.state_dict import find_fits, take_weights
from rootbound.publishing.tensor_files import Content, read_content

log = logging.getLogger(__name__)
HEADS = (
    "head.weight", "classifier.weight", "classifier.out_proj.weight", "classifier.1.weight",
    "score.weight",
)  # fmt: skip
"""Names of the last layer's weights, here and in `transformers`."""
ADAPTER = "lora_"
"""Part of the names of weights that are added to those of another model."""


def load_weights(module: nn.Module, path: Path | str, key: str | None = None) -> str:
    """Load a file of weights into a network; nothing in the file is executed.

    The file is of safetensors or PyTorch (tensors and plain values: `weights_only`), or the index
    of several such files. Weights may be in a dictionary beside other values, and their names may
    have the prefixes of wrappers. Weights for a network of `transformers` may have that library's
    names.

    Args:
        module: The network.
        path: The file, or a folder of it.
        key: Which weights to take, if several in the file fit.

    Returns:
        A description of how the weights were converted; empty if they were not.

    Raises:
        InputError: The file is missing, damaged, of another kind or would run code, its weights
            do not fit, several do, or one is NaN or infinite.
    """
    path = Path(path)
    path = find_in_folder(path) if path.is_dir() else path
    return set_weights(module, read_content(path), key)


def set_weights(module: nn.Module, content: Content, key: str | None = None) -> str:
    """Put the content of a file of weights into a network, as `load_weights` does.

    Raises:
        InputError: They do not fit, several do, or one is NaN or infinite.
    """
    configured = isinstance(module, Classifier) and module.architecture.startswith(CONFIGURED)
    state = own_weights(module) if configured else module.state_dict(keep_vars=True)
    network = Network.of(state)
    fits = find_fits(content, network, key)
    if fits[0].faults and key is None:  # a network that was saved in parts
        for joined in content.joined():
            whole = [fit for fit in find_fits(joined, network) if not fit.faults]
            if len(whole) == 1:
                content, fits = joined, whole
    fits = _drop_copies(fits, content)
    if len(fits) > 1:
        raise InputError(
            f"one set of weights in {content.path}",
            f"{len(fits)} that fit the network: {', '.join(_quote(fit) for fit in fits)}",
            "choose one with `key`",
        )
    (fit,) = fits
    if fit.faults:
        weights, done = _select_below(content, fit), "; ".join((*content.notes, *fit.notes))
    else:
        weights, done = take_weights(content, fit, network)
    try:
        if isinstance(module, Classifier) and configured:
            given = build_from_weights(weights, module.architecture, module.classes)
            weights = given.state_dict()
        # Weights whose names do not fit may still be readable by the network's own code.
        module.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        raise _misfit_error(content, fit, network, error) from None
    check_finite(module, content.path)
    if done:
        log.info("weights in %s: %s", content.path.name, done)
    if isinstance(module, Classifier):
        module.conversion = done
    return done


def count_classes(content: Content, key: str | None = None) -> int:
    """Return the number of classes of the last layer.

    Args:
        content: The content of a file of weights.
        key: Which weights are meant.

    Raises:
        InputError: There is no layer with one of the usual names, or there are several.
    """
    meant = [
        part
        for name, part in content.parts.items()
        if key is None or f".{name}.".endswith(f".{key}.") or name.startswith(f"{key}.")
    ]
    counts = {
        len(value)
        for part in meant or content.parts.values()
        for name, value in part.items()
        if value.dim() == 2 and any(f".{name}".endswith(f".{head}") for head in HEADS)
    }
    if len(counts) == 1:
        return counts.pop()
    found = "none" if not counts else f"several, for {', '.join(map(str, sorted(counts)))} classes"
    raise InputError(
        f"a last layer called {' or '.join(HEADS)} in {content.path}",
        f"{found}, so that the number of classes is not known",
        "name the classes with `desirable`",
    )


def _drop_copies(fits: Sequence[Fit], content: Content) -> list[Fit]:
    """Return the fits without copies of the first, which have the same numbers."""
    first, *others = fits

    def is_copy(fit: Fit) -> bool:
        part, own = content.parts[fit.key], content.parts[first.key]
        return fit.names.keys() == first.names.keys() and all(
            torch.equal(part[given], own[first.names[name]]) for name, given in fit.names.items()
        )

    return [first, *(fit for fit in others if fit.faults or not is_copy(fit))]


def _quote(fit: Fit) -> str:
    return f"'{shorten_name(fit.label)}'" if fit.label else "'' (the outermost)"


def _select_below(content: Content, fit: Fit) -> Mapping[str, Tensor]:
    """Return all weights with the prefix of a fit, without that prefix."""
    return {
        name.removeprefix(fit.prefix): value
        for name, value in content.parts[fit.key].items()
        if name.startswith(fit.prefix)
    }


def _misfit_error(content: Content, fit: Fit, network: Network, error: Exception) -> InputError:
    """Return the error for weights that do not fit the network, with their names."""
    part = content.parts[fit.key]
    faults = []
    if fit.missing:
        faults.append(f"{len(fit.missing)} missing: {list_names(fit.missing)}")
    if fit.unexpected:
        faults.append(f"{len(fit.unexpected)} unexpected: {list_names(fit.unexpected)}")
    if fit.misshaped:
        shapes = [
            f"{name} {_write_size(part[fit.names[name]])} in place of "
            f"{_write_size(network.tensors[name])}"
            for name in fit.misshaped
        ]
        faults.append(f"{len(fit.misshaped)} of another shape: {list_names(shapes)}")
    if not faults:
        faults.append(" ".join(str(error).split())[:200])
    where = f" (the nearest, under {_quote(fit)})" if fit.label else ""
    is_adapter = any(ADAPTER in name for name in part)
    return InputError(
        f"weights in {content.path} that fit the network",
        f"others{where}: {'; '.join(faults)}",
        "merge the adapter into its model first"
        if is_adapter
        else "check the network, or the file",
    )


def _write_size(tensor: Tensor) -> str:
    try:
        return "x".join(map(str, tensor.shape)) or "one number"
    except RuntimeError:  # a layer that has seen no input yet
        return "any"
