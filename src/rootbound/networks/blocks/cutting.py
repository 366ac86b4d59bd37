"""Where a network can be cut: the points through which everything flows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from torch import nn

from rootbound.networks.blocks.recording import Call, Ref, is_layer, list_leaves
from rootbound.networks.blocks.sequence import MOST_BLOCKS
from rootbound.networks.blocks.trace import Trace
from rootbound.networks.layers import ACTIVATIONS

T = TypeVar("T")
Key = tuple[str, str, int]
INPUTS = Ref(0)
JOINS = ("add", "__add__", "__radd__", "__iadd__", "add_", "cat", "concat", "mul", "__mul__")
"""Names of functions and methods that join several tensors: residual sums, and gates."""
POOLING = (
    nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.LPPool2d,
)  # fmt: skip
"""Layers that count as pooling."""
WHOLE = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.RNNBase)
"""Layers of torch that consist of several layers."""
ENDS = (
    "relu", "relu_", "relu6", "gelu", "silu", "elu", "selu", "celu", "leaky_relu", "mish",
    "hardswish", "hardtanh", "tanh", "sigmoid", "softplus", "prelu", "rrelu", "logsigmoid",
    "softsign", "hardsigmoid", "tanh_", "sigmoid_", "clamp", "clamp_min", "square", "sin",
    "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d", "mean", "amax",
)  # fmt: skip
"""Names of functions and methods that are activations or pooling."""


def find_cuts(trace: Trace, network: nn.Module, features: Ref) -> dict[Key, Ref]:
    """Return the tensors at which the calls up to the features can be cut, in order, by their key.

    A cut is possible after a sum, an activation or pooling, before the next layer with parameters,
    if no other tensor that depends on the inputs is needed later.
    """
    needed = find_needed(trace, [features], 0)
    last_use = {features: len(trace.calls)}
    for number in needed:
        for ref in list_refs(trace.calls[number]):
            last_use[ref] = max(number, last_use.get(ref, 0))
    keys = name_calls(trace)
    cuts: dict[Key, Ref] = {}
    candidate: Ref | None = None
    weighted = ended = False
    for number in needed:
        call = trace.calls[number]
        if _holds_weights(call, network):
            if candidate is not None:
                cuts[keys[candidate.call]] = candidate
            candidate, weighted, ended = None, True, False
        if weighted and _ends_block(trace, call, network):
            ended, candidate = True, None
        if ended and candidate is None:
            crossing = [
                ref
                for ref, last in last_use.items()
                if ref.call <= number < last and trace.calls[ref.call].on_input
            ]
            if len(crossing) == 1 and crossing[0].call == number and _is_batch(trace, crossing[0]):
                candidate = crossing[0]
    return cuts


def choose_cuts(cuts: Sequence[T], most: int = MOST_BLOCKS - 1) -> list[T]:
    """Return at most `most` of the cuts, evenly spread."""
    if len(cuts) <= most:
        return list(cuts)
    return [cuts[round((number + 1) * len(cuts) / (most + 1)) - 1] for number in range(most)]


def find_needed(trace: Trace, wanted: Sequence[Ref], start: int) -> list[int]:
    """Return the numbers of the calls that some tensors depend on, in order.

    Calls before `start` are left out if they depend on the inputs or on chance.
    """
    needed: set[int] = set()
    open_calls = {ref.call for ref in wanted}
    while open_calls:
        number = open_calls.pop()
        call = trace.calls[number]
        if number in needed or (number < start and call.on_input):
            continue
        needed.add(number)
        open_calls |= {ref.call for ref in list_refs(call)}
    return sorted(needed)


def name_calls(trace: Trace) -> list[Key]:
    """Return a key of each call that is the same in both modes: caller, target and occurrence."""
    counts: Counter[tuple[str, str]] = Counter()
    keys = []
    for call in trace.calls:
        name = call.path, name_target(call)
        keys.append((*name, counts[name]))
        counts[name] += 1
    return keys


def name_target(call: Call) -> str:
    """Return the name of what is called."""
    return str(
        call.target if isinstance(call.target, str) else getattr(call.target, "__name__", "")
    )


def _is_batch(trace: Trace, ref: Ref) -> bool:
    """Return whether a tensor has a row for each sample."""
    if ref.way not in trace.other_shapes[ref.call]:
        return False
    sides = zip(*trace.shapes(ref), strict=True)
    return next(sides, None) == next(zip(*trace.shapes(INPUTS), strict=True))


def list_refs(call: Call) -> list[Ref]:
    """Return the tensors that a call is given, in order."""
    return [ref for ref in list_leaves((call.args, call.kwargs)) if isinstance(ref, Ref)]


def _holds_weights(call: Call, network: nn.Module) -> bool:
    if call.kind == "module":
        return next(network.get_submodule(call.target).parameters(), None) is not None
    return call.kind == "weight" and isinstance(call.target, str)


def _ends_block(trace: Trace, call: Call, network: nn.Module) -> bool:
    """Return whether a call is a sum of tensors, an activation or pooling."""
    if call.kind == "module":
        part = network.get_submodule(call.target)
        return isinstance(part, (*ACTIVATIONS, *POOLING, *WHOLE)) or not is_layer(part)
    name = name_target(call)
    if name in JOINS:
        return sum(trace.calls[ref.call].on_input for ref in list_refs(call)) > 1
    return call.kind in ("function", "method") and name in ENDS
