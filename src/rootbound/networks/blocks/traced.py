"""Blocks of a network whose calls were recorded: each computes one tensor from another."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks.blocks.code import BlockCode, NotOfTheInputsError, write_code
from rootbound.networks.blocks.cutting import INPUTS, choose_cuts, find_cuts
from rootbound.networks.blocks.recording import Ref
from rootbound.networks.blocks.sequence import Block
from rootbound.networks.blocks.trace import Trace
from rootbound.networks.copying import copy_parts

Shape = tuple[int | None, ...]


class TracedBlock(Block):
    """A part of a network that repeats the network's recorded calls between two tensors.

    Args:
        network: The modules of this part.
        codes: Its code, by whether the network is training.
        shape: Shape of a sample if it takes no other; a side that may have any length is None.
    """

    def __init__(
        self, network: nn.Module, codes: Mapping[bool, BlockCode], shape: Shape | None = None
    ) -> None:
        super().__init__(network)
        self.codes, self.shape = dict(codes), shape
        self.functions = {mode: code.compile() for mode, code in codes.items()}
        self.activations = nn.ModuleDict()
        for code in codes.values():
            for name, activation in code.activations.items():
                self.activations[name] = activation
            for name, constant in code.constants.items():
                self.register_buffer(name, constant.clone(), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the tensor that the block computes from the one before it.

        Raises:
            InputError: The network was recorded with samples of another shape.
        """
        if self.shape is not None:
            self._check_shape(inputs.shape[1:])
        outputs: Tensor = self.functions[self.training](self, inputs)
        return outputs

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        assert self.shape is not None
        sides = zip(shape, self.shape, strict=False)
        if len(shape) != len(self.shape) or any(own not in (None, side) for side, own in sides):
            raise InputError(
                f"samples of shape {self.shape}, with which the network was wrapped",
                str(tuple(shape)),
                "wrap it with an example of that shape",
            )

    def __deepcopy__(self, memory: dict[int, Any]) -> TracedBlock:
        """Return a copy that shares the block's code."""
        copy_parts(self, memory)
        copied = type(self).__new__(type(self))
        memory[id(self)] = copied
        shared = {"codes", "functions", "shape"}
        for name, value in super().__getstate__().items():
            copied.__dict__[name] = value if name in shared else copy.deepcopy(value, memory)
        return copied

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the functions, which are compiled again from their source."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "functions"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.functions = {mode: code.compile() for mode, code in self.codes.items()}


def cut_network(
    network: nn.Module,
    traces: Mapping[bool, Trace],
    features: Mapping[bool, Ref],
    points: Sequence[Mapping[bool, Ref]] | None = None,
) -> list[TracedBlock]:
    """Return the blocks between a network's inputs and its features.

    Args:
        network: The network, whose modules the blocks share.
        traces: Its calls, by whether it is training.
        features: The tensor that its head reads, by the same.
        points: Tensors to cut at, in order, instead of those found automatically.

    Raises:
        NotOfTheInputsError: The network cannot be cut there.
    """
    ends = [*(points or ()), features]
    if points is None:
        cuts = {mode: find_cuts(trace, network, features[mode]) for mode, trace in traces.items()}
        chosen = choose_cuts([key for key in cuts[False] if key in cuts[True]])
        ends = [*({mode: cuts[mode][key] for mode in traces} for key in chosen), features]
    while True:
        codes, failed = _write_codes(traces, ends)
        if failed is None:
            break
        if not failed or points is not None:
            raise NotOfTheInputsError
        del ends[failed - 1]  # the block joins the one before it
    blocks = [TracedBlock(_share_parts(network, code.values()), code) for code in codes]
    first, second = traces[False].shapes(INPUTS)
    blocks[0].shape = tuple(
        side if side == other else None for side, other in zip(first, second, strict=True)
    )[1:]
    return blocks


def _write_codes(
    traces: Mapping[bool, Trace], ends: Sequence[Mapping[bool, Ref]]
) -> tuple[list[dict[bool, BlockCode]], int | None]:
    """Return the code of each block; or the number of the first that cannot be written."""
    starts = [dict.fromkeys(traces, INPUTS), *ends[:-1]]
    codes = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        try:
            codes.append(
                {mode: write_code(traces[mode], start[mode], end[mode]) for mode in traces}
            )
        except NotOfTheInputsError:
            return codes, number
    return codes, None


def _share_parts(network: nn.Module, codes: Iterable[BlockCode]) -> nn.Module:
    """Return the modules and weights that the codes use, in containers with the network's names."""
    shared = _make_container(network)
    for code in codes:
        for name in code.modules:
            parent, _, attribute = name.rpartition(".")
            container = _find_container(shared, network, parent)
            container.add_module(attribute, network.get_submodule(name))
        for name in code.weights:
            parent, _, attribute = name.rpartition(".")
            container = _find_container(shared, network, parent)
            owner = network.get_submodule(parent)
            if attribute in owner._parameters:
                container.register_parameter(attribute, owner._parameters[attribute])
            else:
                persistent = attribute not in owner._non_persistent_buffers_set
                persistent &= attribute in owner._buffers
                container.register_buffer(attribute, getattr(owner, attribute), persistent)
    return shared


def _find_container(root: nn.Module, network: nn.Module, path: str) -> nn.Module:
    """Return the container with that dotted name; make it and its parents where missing."""
    for step in path.split(".") if path else ():
        network = network.get_submodule(step)
        if step not in root._modules:
            root.add_module(step, _make_container(network))
        root = root.get_submodule(step)
    return root


def _make_container(owner: nn.Module) -> nn.Module:
    """Return an empty module, of the owner's class if it has weights, which that can draw anew."""
    if not owner._parameters:
        return nn.Module()
    container = type(owner).__new__(type(owner))
    nn.Module.__init__(container)
    plain = {name: value for name, value in vars(owner).items() if name not in vars(container)}
    vars(container).update(plain)
    return container
