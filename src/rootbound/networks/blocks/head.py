"""The head of a network whose calls were recorded: the linear layer that makes the logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from rootbound.core.errors import InputError
from rootbound.networks.blocks.cutting import INPUTS, POOLING, list_refs, name_calls, name_target
from rootbound.networks.blocks.recording import Call, Ref
from rootbound.networks.blocks.trace import Trace

UNCHANGED = (nn.Flatten, nn.Identity, nn.Dropout, nn.AlphaDropout, nn.Unflatten)
"""Layers that may follow the head, because they do not change the logits in evaluation mode."""
UNCHANGED_FUNCTIONS = (
    "flatten", "squeeze", "view", "reshape", "dropout", "contiguous", "float", "to", "unflatten",
)  # fmt: skip
POOLED_FUNCTIONS = ("mean", "adaptive_avg_pool2d", "avg_pool2d")


@dataclass(frozen=True)
class TracedHead:
    """A network's last linear layer.

    Args:
        name: Its dotted name; it may be a convolution of one pixel, averaged over all pixels.
        features: The tensor that it reads, by whether the network is training.
        last: Whether no other layer follows it.
    """

    name: str
    features: Mapping[bool, Ref]
    last: bool


def find_traced_head(
    traces: Mapping[bool, Trace], network: nn.Module, name: str | None
) -> TracedHead:
    """Return the layer whose outputs are the network's.

    Raises:
        InputError: There is none, or it is not the one that the user names.
    """
    trace = traces[False]
    if not isinstance(trace.outputs, Ref):
        raise _missing_head_error(
            network, "a network that returns several outputs in evaluation mode"
        )
    number, pooling = trace.outputs.call, None
    while _changes_nothing(trace.calls[number], network) or (
        pooling is None and _averages(trace.calls[number], network)
    ):
        call = trace.calls[number]
        pooling = call if _averages(call, network) else pooling
        number = list_refs(call)[0].call
    call = trace.calls[number]
    layer = network.get_submodule(call.target) if call.kind == "module" else None
    key = name_calls(trace)[number]
    if any(key not in name_calls(other) for other in traces.values()):
        raise _missing_head_error(network, "one that ends with another layer while it is trained")
    calls = {mode: other.calls[name_calls(other).index(key)] for mode, other in traces.items()}
    if isinstance(layer, nn.Linear) and pooling is None:
        features = {mode: list_refs(calls[mode])[0] for mode in traces}
    elif isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and pooling is not None:
        features = {mode: _pool_features(traces[mode], calls[mode], pooling) for mode in traces}
    else:
        what = "the function " if call.kind == "function" else ""
        raise _wrong_ending_error(network, name, f"{what}{name_target(call)}" or "its inputs")
    if INPUTS in features.values():
        raise _missing_head_error(network, "one that consists of its head alone")
    if name is not None and name != call.target:
        raise _wrong_ending_error(network, name, call.target)
    return TracedHead(call.target, features, number == trace.outputs.call)


def make_linear(network: nn.Module, name: str) -> nn.Linear:
    """Return a network's head as a linear layer; it may be a 1x1 convolution in the network."""
    layer = network.get_submodule(name)
    if isinstance(layer, nn.Linear):
        return layer
    assert isinstance(layer, nn.Conv2d)
    linear = nn.Linear(layer.in_channels, layer.out_channels, layer.bias is not None)
    linear.weight = nn.Parameter(layer.weight.detach().flatten(1))
    if layer.bias is not None:
        linear.bias = nn.Parameter(layer.bias.detach())
    return linear


def restore_head(network: nn.Module, name: str, head: nn.Linear) -> nn.Module:
    """Return a head in the network's own form: a linear layer or a 1x1 convolution."""
    own = network.get_submodule(name)
    if not isinstance(own, nn.Conv2d):
        return head
    convolution = nn.Conv2d(head.in_features, head.out_features, 1, bias=head.bias is not None)
    convolution.weight = nn.Parameter(head.weight.detach()[:, :, None, None])
    if convolution.bias is not None:
        convolution.bias = nn.Parameter(head.bias.detach())
    return convolution


def _changes_nothing(call: Call, network: nn.Module) -> bool:
    if call.kind == "module":
        return isinstance(network.get_submodule(call.target), UNCHANGED)
    return call.kind in ("function", "method") and name_target(call) in UNCHANGED_FUNCTIONS


def _averages(call: Call, network: nn.Module) -> bool:
    """Return whether a call averages maps over all pixels."""
    sides = {side for shape in call.shapes.values() for side in shape[2:]}
    if call.kind == "module":
        return isinstance(network.get_submodule(call.target), POOLING) and sides <= {1}
    return name_target(call) in POOLED_FUNCTIONS and sides <= {1}


def _pool_features(trace: Trace, head: Call, pooling: Call) -> Ref:
    """Add calls to a trace that average the inputs of a convolution instead of its outputs."""
    averaged = Ref(len(trace.calls))
    trace.calls.append(replace(pooling, args=(list_refs(head)[0], *pooling.args[1:]), shapes={}))
    trace.calls.append(Call("function", torch.flatten, (averaged, 1), on_input=True))
    trace.other_shapes += [{}, {}]
    return Ref(averaged.call + 1)


def _wrong_ending_error(network: nn.Module, name: str | None, ending: str) -> InputError:
    known = name is not None and name in dict(network.named_modules())
    more = f"one that does more after {name}: it" if known else "one that"
    return _missing_head_error(network, f"{more} ends with {ending}")


def _missing_head_error(network: nn.Module, got: str) -> InputError:
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    listed = ", ".join(linear[-4:]) or "none"
    return InputError(
        f"a linear layer whose outputs are the logits (there is {listed})",
        got,
        "end its forward with `return self.head(features)`, where self.head is an nn.Linear",
    )
