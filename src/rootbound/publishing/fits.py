"""Comparing the names of weights in a file with those of a network: prefixes, and misfits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn.parameter import is_lazy

from rootbound.publishing.name_lists import list_names, shorten_name

WRAPPERS = frozenset(
    {
        "module",
        "_orig_mod",
        "_forward_module",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
    }
)
"""Names that wrappers, of torch and others, insert into names at any position."""
COUNTER = "num_batches_tracked"
"""Ending of a buffer that older versions of torch do not save, and that loading adds."""
MOST_PREFIXES = 1000


@dataclass(frozen=True)
class Fit:
    """How the names of a dictionary in a file match those of a network.

    Args:
        key: The dictionary.
        prefix: Prefix of its names that the network's names do not have.
        names: Names in the file, by the network's names.
        missing: Names of the network that are not in the file.
        unexpected: Names in the file that the network does not have.
        misshaped: Names of the network whose tensors have another shape.
        notes: Descriptions of what was done to match them.
    """

    key: str
    prefix: str
    names: Mapping[str, str]
    missing: Sequence[str]
    unexpected: Sequence[str]
    misshaped: Sequence[str]
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name of these weights for users."""
        return ".".join(part for part in (self.key, self.prefix.rstrip(".")) if part)

    @property
    def faults(self) -> int:
        """Number of names or shapes that do not fit."""
        return len(self.missing) + len(self.unexpected) + len(self.misshaped)


@dataclass(frozen=True)
class Network:
    """Names, shapes and shared weights of a network.

    Args:
        tensors: Its state dict, with `keep_vars`, so that shared weights are one tensor.
        shared: For each name, all names of the same weights, in order.
    """

    tensors: Mapping[str, Tensor]
    shared: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, state: Mapping[str, object]) -> Network:
        """Return the network of a state dict."""
        tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        groups: dict[object, list[str]] = {}
        for name, value in tensors.items():
            groups.setdefault(_identify_memory(value), []).append(name)
        return cls(tensors, {name: group for group in groups.values() for name in group})

    def renamed(self, names: Mapping[str, str]) -> Network:
        """Return the same network with other names."""
        tensors = {names[name]: value for name, value in self.tensors.items()}
        shared = {
            names[name]: [names[other] for other in group] for name, group in self.shared.items()
        }
        return Network(tensors, shared)


def compare(key: str, part: Mapping[str, Tensor], network: Network) -> Iterator[Fit]:
    """Yield how a dictionary fits a network, for each prefix that may be removed."""
    same = {name: name for name in part}
    yield from _compare_names(key, same, part, network)
    given, own = _remove_wrappers(part), _remove_wrappers(network.tensors)
    if given is not None and own is not None:
        wrappers = sorted({one for name in part for one in name.split(".")} & WRAPPERS)
        removed = (f"{list_names(wrappers)} was left out within names",) if wrappers else ()
        back = {short: name for name, short in own.items()}
        for fit in _compare_names(
            key, {short: name for name, short in given.items()}, part, network.renamed(own)
        ):
            yield _with_own_names(fit, back, removed)
    added = _find_common_prefix(network.tensors)
    if added:
        short = {name: name.removeprefix(added) for name in network.tensors}
        back = {bare: name for name, bare in short.items()}
        note = (f"the prefix '{shorten_name(added)}' was put before their names",)
        for fit in _compare_names(key, same, part, network.renamed(short)):
            # A single layer would be found in any file, so its name must match exactly.
            if not fit.prefix or len(network.tensors) > 2:
                yield _with_own_names(fit, back, note)


def _compare_names(
    key: str, given: Mapping[str, str], part: Mapping[str, Tensor], network: Network
) -> Iterator[Fit]:
    """Yield the fits for the prefixes whose removal gives most names of the network."""
    found: Counter[str] = Counter()
    for name in given:
        parts = name.split(".")
        for place in range(len(parts)):
            if ".".join(parts[place:]) in network.tensors:
                found["".join(f"{one}." for one in parts[:place])] += 1
    prefixes = [prefix for prefix, _ in found.most_common(MOST_PREFIXES)]
    for prefix in dict.fromkeys(["", *prefixes]):
        if prefix in ("", *prefixes[:3]) or 2 * found[prefix] > len(network.tensors):
            yield _match_names(key, prefix, given, part, network)


def _with_own_names(fit: Fit, back: Mapping[str, str], notes: tuple[str, ...]) -> Fit:
    """Return a fit to a renamed network in terms of its own names."""
    return replace(
        fit,
        names={back[name]: given for name, given in fit.names.items()},
        missing=[back[name] for name in fit.missing],
        misshaped=[back[name] for name in fit.misshaped],
        notes=(*fit.notes, *notes),
    )


def _match_names(
    key: str,
    prefix: str,
    given: Mapping[str, str],
    part: Mapping[str, Tensor],
    network: Network,
) -> Fit:
    """Return how names without a prefix fit.

    Args:
        key: The dictionary.
        prefix: The prefix; names without it are left out.
        given: Names in the file, by the names to compare.
        part: Tensors in the file by name.
        network: The network.
    """
    inside = {name.removeprefix(prefix): name for name in given if name.startswith(prefix)}
    names = {name: given[inside[name]] for name in network.tensors if name in inside}
    missing = [
        name
        for name, group in network.shared.items()
        if not any(one in names for one in group) and not name.endswith(COUNTER)
    ]
    misshaped = [
        name
        for name, origin in names.items()
        if not is_lazy(network.tensors[name]) and part[origin].shape != network.tensors[name].shape
    ]
    unexpected = [given[inside[name]] for name in inside if name not in network.tensors]
    notes = []
    if prefix:
        notes.append(f"the prefix '{shorten_name(prefix)}' was removed from their names")
    beside = [given[name] for name in given if not name.startswith(prefix)]
    if beside:
        notes.append(f"{len(beside)} beside them were left out ({list_names(beside)})")
    return Fit(key, prefix, names, missing, unexpected, misshaped, tuple(notes))


def _remove_wrappers(names: Mapping[str, Tensor]) -> dict[str, str] | None:
    """Return each name without wrappers in it; None if two names would become equal."""
    short = {
        name: ".".join(part for part in name.split(".") if part not in WRAPPERS) for name in names
    }
    return short if len(set(short.values())) == len(short) else None


def _find_common_prefix(names: Mapping[str, Tensor]) -> str:
    """Return the longest common prefix of all names that ends with a dot."""
    rows = [name.split(".")[:-1] for name in names]
    common = []
    for parts in zip(*rows, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(f"{parts[0]}.")
    return "".join(common)


def _identify_memory(value: Tensor) -> object:
    """Return a key that is equal for two names of the same weights."""
    if is_lazy(value) or value.is_meta or not value.numel():
        return id(value)
    return value.data_ptr(), value.shape, value.stride(), value.dtype
