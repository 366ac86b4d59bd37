"""Finding the weights of a network in the content of a file, whatever their names.

Training code wraps networks: names begin with `module.`, `_orig_mod.`, `model.` and the like, or
are in a dictionary beside others. The network's own names and shapes tell which weights belong to
it. Every renaming, choice and omission is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.publishing.fits import Fit, Network, compare
from rootbound.publishing.name_lists import list_names, shorten_name
from rootbound.publishing.tensor_files import Content


def find_fits(content: Content, network: Network, key: str | None = None) -> list[Fit]:
    """Return all fits of a file's weights to a network, or the nearest if nothing fits.

    Args:
        content: The content of the file.
        network: The network.
        key: Which weights of the file are meant; None for any.

    Raises:
        InputError: Nothing in the file has that key.
    """
    fits = [fit for name, part in content.parts.items() for fit in compare(name, part, network)]
    if key is not None:
        fits = _choose_by_key(fits, content, key)
    whole: dict[tuple[str, frozenset[str]], Fit] = {}
    for fit in fits:
        if not fit.faults:
            whole.setdefault((fit.key, frozenset(fit.names.values())), fit)
    return list(whole.values()) or [min(fits, key=lambda fit: fit.faults)]


def take_weights(content: Content, fit: Fit, network: Network) -> tuple[dict[str, Tensor], str]:
    """Return the weights by the network's names, and a description of how they were found.

    Raises:
        InputError: Weights that the network shares differ, or numbers have an unusable type.
    """
    part = content.parts[fit.key]
    notes = [*content.notes]
    if fit.key:
        notes.append(f"they lie under the key '{shorten_name(fit.key)}' of the file")
    notes += fit.notes
    weights = {name: part[given] for name, given in fit.names.items()}
    for name, group in network.shared.items():
        held = [one for one in group if one in fit.names]
        if not held:
            continue
        first = weights[held[0]]
        if name not in weights:
            weights[name] = first
            notes.append(
                f"{shorten_name(name)} is {shorten_name(held[0])}, which the network shares"
            )
        elif not _are_same(weights[name], first):
            raise InputError(
                f"one value of weights in {content.path} that the network shares",
                f"{shorten_name(held[0])} and {shorten_name(name)} that differ",
                "check the network, or the file",
            )
    notes += _describe_conversions(weights, network, content)
    return weights, "; ".join(notes)


def _choose_by_key(fits: Sequence[Fit], content: Content, key: str) -> list[Fit]:
    """Return the fits with exactly this key; if there are none, those below it or ending in it."""
    for means in (
        lambda fit: key in (fit.label, fit.key),
        lambda fit: fit.label.startswith(f"{key}."),
        lambda fit: fit.label.endswith(f".{key}"),
    ):
        chosen = [fit for fit in fits if means(fit)]
        if chosen:
            return chosen
    labels = sorted({fit.label for fit in fits if fit.label and not fit.faults} | {*content.parts})
    there = [label for label in labels if label]
    raise InputError(
        f"weights called {shorten_name(key)} in {content.path}",
        list_names(there) if there else "weights alone, under no key",
        "correct `key`" if there else "leave out `key`",
    )


def _describe_conversions(
    weights: Mapping[str, Tensor], network: Network, content: Content
) -> Iterator[str]:
    """Yield descriptions of conversions between types of numbers.

    Raises:
        InputError: Integers would become floats, or numbers are not plain.
    """
    kinds: Counter[tuple[str, str]] = Counter()
    for name, value in weights.items():
        wanted = network.tensors.get(name)
        if wanted is None:
            continue
        kind = str(value.dtype).removeprefix("torch.")
        is_odd = value.is_quantized or value.layout != wanted.layout or value.is_complex()
        if is_odd or (wanted.is_floating_point() and not value.is_floating_point()):
            raise InputError(
                f"floating-point weights in {content.path}",
                f"{'quantised, sparse or complex' if is_odd else kind} numbers as "
                f"{shorten_name(name)}",
                "take plain ones, that are not quantised",
            )
        if value.dtype != wanted.dtype:
            kinds[kind, str(wanted.dtype).removeprefix("torch.")] += 1
    for (kind, wanted_kind), count in kinds.items():
        yield f"{count} tensors of {kind} are read as {wanted_kind}"


def _are_same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same numbers; NaN counts as equal to NaN."""
    if one is other:
        return True
    equal = (one == other) | ((one != one) & (other != other))  # noqa: PLR0124
    return bool(equal.all())
