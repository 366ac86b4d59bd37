"""Blocks of a network whose layers repeat: they are made of its layers and the code around them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from rootbound.networks.blocks.chain import (
    Arguments,
    Chain,
    find_called_head,
    find_chain,
    find_state,
    in_evaluation,
    record_calls,
)
from rootbound.networks.blocks.passing import Passing
from rootbound.networks.blocks.sequence import MOST_BLOCKS, Block, BlockSequence
from rootbound.networks.blocks.stand_ins import Ghost, Script, replace_within
from rootbound.networks.blocks.views import Share, Views
from rootbound.networks.copying import copy_parts

CARRIED = "_rootbound_carried"
"""Attribute of passed tensors that holds the arguments of the network and of each layer."""


class Reached(Exception):  # this is not an error: it stops the network
    """The network has reached its last layer."""


class RepeatedBlock(Block):
    """Some layers of a network, with the code before or after them.

    The network's own `forward` runs everything outside the layers. It runs on another view of the
    containers, in which stand-ins replace all modules that do not belong to the block.

    Args:
        network: The network.
        chain: Its layers.
        share: The part of the network that belongs to the block.
        passing: How blocks pass on states; all blocks of a network share it.
        needed: Names of the modules before the layers that determine the layers' arguments.
        ghosts: Stand-ins for modules, by their names; all blocks of a network share them.
    """

    def __init__(
        self,
        network: nn.Module,
        chain: Chain,
        share: Share,
        passing: Passing,
        needed: frozenset[str],
        ghosts: dict[str, Ghost],
    ) -> None:
        views = Views(network, chain, share, needed, ghosts)
        own, view = views.make("", network)
        super().__init__(own)
        self.chain, self.share, self.passing = chain, share, passing
        self.masked = passing.masked and not share.ends
        # Tuples hide these modules, which do not belong to the block, from torch.
        self._view, self._containers, self._held = (view,), tuple(views.made), tuple(views.held)
        self._cell = views.cell
        configurations = {id(part.__dict__.get("config")): part for part in network.modules()}
        self._configurations = tuple(
            part.config for part in configurations.values() if "config" in part.__dict__
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the input of the next block, or features `(N, D)` after the last one."""
        if self.share.begins:
            given = self.passing.prepare(inputs)
            state, contexts = self._begin(given)
        else:
            state = self.passing.find_state(inputs)
            given, contexts = getattr(inputs, CARRIED, None) or self._imagine_arguments(inputs)
        for position in self.share.layers:
            positional, named = self.chain.give_state(state, contexts[position])
            layer = self.network.get_submodule(self.chain.names[position])
            state = cast(Tensor, find_state(layer(*positional, **named)))
        if self.share.ends:
            return self._end(state, given)
        passed = self.passing.join(state, given)
        setattr(passed, CARRIED, (given, contexts))
        return passed

    def train(self, mode: bool = True) -> RepeatedBlock:
        """Set the mode, also in the other view of the containers."""
        super().train(mode)
        for container in self._containers:
            container.training = mode and (self.share.begins or self.share.ends)
        return self

    def _begin(self, given: Any) -> tuple[Tensor, list[Arguments]]:
        """Run the network up to its layers; return the first state and each layer's arguments."""
        states: list[Tensor] = []
        contexts: list[Arguments] = []

        def script(positional: tuple[Any, ...], named: dict[str, Any]) -> object:
            state, context = self.chain.take_state((positional, named))
            states.append(state)
            contexts.append(context)
            if len(contexts) == len(self.chain.names):
                raise Reached
            return self.chain.return_state(state)

        with contextlib.suppress(Reached):
            self._run(script, given)
        return states[0], contexts

    def _imagine_arguments(self, passed: Tensor) -> tuple[Any, list[Arguments]]:
        """Return dummy arguments of the network, and the arguments that it gives to each layer."""
        given = self.passing.imagine(passed)
        with self._keep_random_stream(given):
            return given, self._begin(given)[1]

    def _end(self, state: Tensor, given: Any) -> Tensor:
        """Run the network from its last layer on."""
        count = 0
        with contextlib.ExitStack() as until_last:
            until_last.enter_context(self._keep_random_stream(given))

            def script(positional: tuple[Any, ...], named: dict[str, Any]) -> object:
                nonlocal count
                count += 1
                if count < len(self.chain.names):
                    dummy, _ = self.chain.take_state((positional, named))
                    return self.chain.return_state(dummy)
                until_last.close()
                return self.chain.return_state(state)

            return self.passing.finish(self._run(script, given), given)

    def _run(self, script: Script, given: Any) -> object:
        self._cell.script = script
        try:
            return self.passing.call(self._view[0], given)
        finally:
            self._cell.script = None

    @contextlib.contextmanager
    def _keep_random_stream(self, given: Any) -> Iterator[None]:
        """Restore the random stream if dropout may draw from it for dummy arguments."""
        if not self.training:
            yield
            return
        device = next(one.device for one in tree_flatten(given)[0] if isinstance(one, Tensor))
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            yield

    def _apply(self, fn: Any, recurse: bool = True) -> RepeatedBlock:
        super()._apply(fn, recurse)
        for container in self._containers:
            container._apply(fn, recurse=False)
        for part in self._held:
            part._apply(fn)
        return self

    def __deepcopy__(self, memory: dict[int, Any]) -> RepeatedBlock:
        """Return a copy that shares configurations, which never change."""
        memory.update({id(one): one for one in self._configurations})
        held = (part for module in self._held for part in module.modules())
        copy_parts(self, memory, (*self._containers, *held))
        copied = type(self).__new__(type(self))
        memory[id(self)] = copied
        copied.__dict__.update(
            {name: copy.deepcopy(value, memory) for name, value in super().__getstate__().items()}
        )
        return copied


def find_repeated(
    network: nn.Module, example: Tensor, passing: Passing | None = None
) -> list[Block] | None:
    """Return the blocks of a network by the calls of its repeated layers.

    Args:
        network: The network, with an identity in place of its head; blocks share its modules.
        example: Inputs `(N, *shape)` to run it with.
        passing: How it is called, if not with the inputs alone.

    Returns:
        None where there are no such layers, or the blocks do not compute what the network does.
    """
    passing = Passing() if passing is None else passing
    given = passing.prepare(example)
    with in_evaluation(network), torch.no_grad(), record_calls(network) as calls:
        features = passing.finish(passing.call(network, given), given)
    chain = find_chain(network, calls)
    if chain is None:
        return None
    try:
        blocks = _make_blocks(network, chain, passing, given)
        together, alone = _run_together_and_alone(blocks, example)
    except Exception:  # a network without some of its parts may fail in any way
        return None
    return blocks if torch.equal(together, features) and torch.equal(alone, features) else None


def _run_together_and_alone(blocks: list[Block], example: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features from a run through all blocks, and from running each block by itself."""
    together = alone = example
    with in_evaluation(nn.ModuleList(blocks)), torch.no_grad():
        for block in blocks:
            together = block(together)
            alone = block(alone).clone()  # a copy has no attributes
    return together, alone


class Found(NamedTuple):
    """A network as blocks and its head, with the head's dotted name."""

    backbone: BlockSequence
    head_name: str
    head: nn.Linear


def find_repeated_and_head(network: nn.Module, example: Tensor, passing: Passing) -> Found | None:
    """Return the blocks of a network and its head; the network stays as it is.

    Args:
        network: The network; blocks and head share its modules.
        example: Inputs `(N, *shape)` to run it with.
        passing: How it is called.

    Returns:
        None where there are no repeated layers, or the logits do not come from one linear layer.
    """
    given = passing.prepare(example)
    with in_evaluation(network), torch.no_grad(), record_calls(network) as calls:
        logits = passing.finish(passing.call(network, given), given)
    head_name = find_called_head(network, calls, logits)
    if not head_name:
        return None
    bare = replace_within(network, head_name, nn.Identity())
    blocks, head = find_repeated(bare, example, passing), network.get_submodule(head_name)
    if blocks is None or not isinstance(head, nn.Linear):
        return None
    backbone = BlockSequence(blocks, bare)
    with in_evaluation(backbone), torch.no_grad():
        same = torch.allclose(head(backbone(example)), logits, rtol=1e-4, atol=1e-5)
    return Found(backbone, head_name, head) if same else None


def _make_blocks(network: nn.Module, chain: Chain, passing: Passing, given: Any) -> list[Block]:
    ghosts: dict[str, Ghost] = {}

    def make(share: Share, needed: frozenset[str]) -> RepeatedBlock:
        return RepeatedBlock(network, chain, share, passing, needed, ghosts)

    whole = make(Share(range(0), True, False), frozenset())
    needed = _find_needed(whole, given)
    last = make(Share(range(0), False, True), needed)
    begins, ends = (any(True for _ in block.parameters()) for block in (whole, last))
    count = len(chain.names)
    most = min(count, MOST_BLOCKS - begins - ends)
    groups = [range(turn * count // most, (turn + 1) * count // most) for turn in range(most)]
    if begins:
        groups.insert(0, range(0))
    if ends:
        groups.append(range(0))
    return [
        make(Share(group, number == 0, number == len(groups) - 1), needed)
        for number, group in enumerate(groups)
    ]


def _find_needed(first: RepeatedBlock, given: Any) -> frozenset[str]:
    """Return the names of the modules on whose weights the layers' arguments depend."""
    with in_evaluation(first), torch.enable_grad():
        _, contexts = first._begin(given)
    values = [
        value
        for value in tree_flatten(contexts)[0]
        if isinstance(value, Tensor) and value.requires_grad
    ]
    if not values:
        return frozenset()
    named = [(name, one) for name, one in first.network.named_parameters() if one.requires_grad]
    gradients = torch.autograd.grad(
        [value.sum() for value in values], [one for _, one in named], allow_unused=True
    )
    used = [name for (name, _), one in zip(named, gradients, strict=True) if one is not None]
    return frozenset(
        ".".join(name.split(".")[:depth])
        for name in used
        for depth in range(1, name.count(".") + 1)
    )
