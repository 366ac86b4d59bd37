"""The layers of a network that run one after another, found by running it once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Arguments of a call, by position and by name."""


@dataclass
class Call:
    """One call of a module while a network runs.

    Args:
        name: Dotted name of the module.
        given: What it was called with.
        outputs: What it returned.
    """

    name: str
    given: Arguments
    outputs: object = None


@dataclass(frozen=True)
class Chain:
    """Layers of one container, each of which takes the state that the one before it returned.

    Args:
        names: Dotted name of the layer at each position; one that runs twice is listed twice.
        place: The argument in which a layer takes the state: its number or its name.
        returned: What the last layer returned, without its tensors.
        earlier: Names of the modules that run before the first layer.
        later: Names of the modules that run after the last one.
    """

    names: tuple[str, ...]
    place: int | str
    returned: object
    earlier: frozenset[str] = field(default_factory=frozenset)
    later: frozenset[str] = field(default_factory=frozenset)

    @property
    def container(self) -> str:
        """Dotted name of the container that holds the layers."""
        return self.names[0].rpartition(".")[0]

    def take_state(self, given: Arguments) -> tuple[Tensor, Arguments]:
        """Return the state, and the arguments with None in its place."""
        positional, named = list(given[0]), dict(given[1])
        arguments: Any = positional if isinstance(self.place, int) else named
        state: Tensor = arguments[self.place]
        arguments[self.place] = None
        return state, (tuple(positional), named)

    def give_state(self, state: Tensor, given: Arguments) -> Arguments:
        """Return the arguments with the state in its place."""
        positional, named = list(given[0]), dict(given[1])
        arguments: Any = positional if isinstance(self.place, int) else named
        arguments[self.place] = state
        return tuple(positional), named

    def return_state(self, state: Tensor) -> object:
        """Return the state as a layer returns it."""
        if isinstance(self.returned, tuple):
            return (state, *self.returned[1:])
        return state


def find_state(outputs: object) -> Tensor | None:
    """Return the only or the first tensor that a layer returned; None where there is none."""
    if isinstance(outputs, tuple | list) and outputs:
        outputs = outputs[0]
    return outputs if isinstance(outputs, Tensor) else None


@contextlib.contextmanager
def in_evaluation(network: nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode; put each back afterwards."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextlib.contextmanager
def record_calls(network: nn.Module) -> Iterator[list[Call]]:
    """Yield a list to which the call of each module is added, in the order in which they begin."""
    calls: list[Call] = []
    running: list[Call] = []
    handles = []
    for name, part in network.named_modules():

        def begin(_: nn.Module, *given: Any, name: str = name) -> None:
            running.append(Call(name, given))
            calls.append(running[-1])

        def end(_: nn.Module, __: Any, ___: Any, outputs: object) -> None:
            running.pop().outputs = outputs

        handles.append(part.register_forward_pre_hook(begin, with_kwargs=True))
        handles.append(part.register_forward_hook(end, with_kwargs=True))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def find_chain(network: nn.Module, calls: Sequence[Call]) -> Chain | None:
    """Return the chain whose layers hold the most weights; the outermost one if several do.

    Args:
        network: The network.
        calls: All calls of one run, in the order in which they began.
    """
    parts = dict(network.named_modules())
    best, most = None, 0
    for container in dict.fromkeys(call.name.rpartition(".")[0] for call in calls):
        if not isinstance(parts.get(container), nn.ModuleList | nn.Sequential):
            continue
        run = _find_longest_run(
            [call for call in calls if call.name.rpartition(".")[0] == container]
        )
        weights = {value for call in run for value in parts[call.name].parameters()}
        size = sum(value.numel() for value in weights)
        if size > most:
            best, most = _describe(run, calls), size
    return best


def _find_longest_run(calls: Sequence[Call]) -> list[Call]:
    """Return the longest run of calls in which each passes a state to the next."""
    runs: list[list[Call]] = [[]]
    for call in calls:
        state = find_state(runs[-1][-1].outputs) if runs[-1] else None
        if state is None or _find_place(call.given, state) is None:
            runs.append([])
        runs[-1].append(call)
    longest = max(runs, key=len)
    states = bool(longest) and find_state(longest[-1].outputs) is not None
    return longest if states and _find_first_place(longest) is not None else []


def _describe(run: Sequence[Call], calls: Sequence[Call]) -> Chain | None:
    place = _find_first_place(run)
    returned = run[-1].outputs
    if place is None or any(place != _find_linked_place(one, two) for one, two in _list_pairs(run)):
        return None
    if isinstance(returned, tuple):
        returned = tuple(None if isinstance(one, Tensor) else one for one in returned)
    else:
        returned = None
    numbers = {id(call): number for number, call in enumerate(calls)}
    first, last = numbers[id(run[0])], numbers[id(run[-1])]
    inside = f"{run[-1].name}."
    return Chain(
        tuple(call.name for call in run),
        place,
        returned,
        frozenset(call.name for call in calls[:first]),
        frozenset(call.name for call in calls[last + 1 :] if not call.name.startswith(inside)),
    )


def _list_pairs(run: Sequence[Call]) -> list[tuple[Call, Call]]:
    return list(pairwise(run))


def _find_linked_place(first: Call, second: Call) -> int | str | None:
    state = find_state(first.outputs)
    return None if state is None else _find_place(second.given, state)


def _find_first_place(run: Sequence[Call]) -> int | str | None:
    """Return where the first layer takes the state."""
    if len(run) > 1:
        return _find_linked_place(run[0], run[1])
    tensors = (value for value in (*run[0].given[0], *run[0].given[1].values()))
    state = next((value for value in tensors if isinstance(value, Tensor)), None)
    return None if state is None else _find_place(run[0].given, state)


def _find_place(given: Arguments, state: Tensor) -> int | str | None:
    """Return the argument that is this very tensor; the first argument must be it."""
    arguments: Mapping[int | str, Any] = dict(enumerate(given[0])) | given[1]
    tensors = [key for key, value in arguments.items() if isinstance(value, Tensor)]
    return tensors[0] if tensors and arguments[tensors[0]] is state else None


def find_called_head(network: nn.Module, calls: Sequence[Call], logits: Tensor) -> str:
    """Return the name of the last linear layer that has as many outputs as there are logits."""
    parts = dict(network.named_modules())
    for call in reversed(calls):
        part = parts[call.name]
        if isinstance(part, nn.Linear) and part.out_features == logits.shape[-1]:
            return call.name
    return ""
