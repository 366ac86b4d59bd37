"""Random weights: drawn by every module itself, or by the function that makes the network."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from rootbound.core.errors import InputError, take_first_line
from rootbound.networks.blocks.sequence import Block, BlockSequence
from rootbound.networks.computed import detach_tensors, draw_plain_weights
from rootbound.networks.freshness import find_common
from rootbound.networks.weights import own_name
from rootbound.networks.wrapping import list_blocks, replace_module

RESET_METHODS = ("reset_parameters", "_reset_parameters", "init_weights")
"""Names of methods that draw weights anew, in torch, its attention, and timm."""


@contextlib.contextmanager
def draw_on_cpu(seed: int) -> Iterator[None]:
    """Draw weights with this seed, the same ones for all devices."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


def reset(modules: Sequence[nn.Module]) -> None:
    """Let every module draw its weights anew; a module with `resets_children` does it for its own.

    Raises:
        InputError: A module holds weights of its own and has no method for that.
    """
    for part in modules:
        if isinstance(part, ParametrizationList):
            # The layer, which comes before, has drawn these weights already.
            reset(list(part.children()))
            continue
        holds_weights = next(part.parameters(recurse=False), None) is not None
        names = RESET_METHODS if holds_weights else RESET_METHODS[:1]
        methods = [method for name in names if (method := getattr(part, name, None))]
        if methods and callable(methods[0]):
            try:
                with draw_plain_weights(part):
                    methods[0]()
            except (NotImplementedError, ValueError) as error:
                raise _cannot_draw(f"{type(part).__name__} ({take_first_line(error)})") from None
        elif holds_weights:
            raise _cannot_draw(f"{type(part).__name__}, which holds weights and has none")
        if not getattr(part, "resets_children", False):
            reset(list(part.children()))


def _cannot_draw(got: str) -> InputError:
    return InputError(
        "modules with reset_parameters(), to draw random weights",
        got,
        "give it a reset_parameters() method, or name a function that draws the whole network anew "
        "at every call, by `fresh` (in Python: Classifier.wrap(network, fresh=FUNCTION))",
    )


def reset_blocks(backbone: BlockSequence, blocks: Sequence[Block]) -> None:
    """Let blocks of a network draw their weights anew, module by module.

    Raises:
        InputError: A module holds weights of its own and has no method for that.
    """
    codes = [code for block in blocks for code in getattr(block, "codes", {}).values()]
    if any(code.weights for code in codes):
        # There are weights outside of modules, which only the network's own method can draw.
        network = copy.deepcopy(backbone).give_back()
        reset([network])
        for block in blocks:
            _take_values(network, block.network)
    else:
        reset([block.network for block in blocks])


@dataclass(frozen=True)
class FreshNetwork:
    """A source of random weights: the function that makes the network.

    Args:
        function: Makes the network, with weights from torch's default generator.
        head_name: Dotted name of its last linear layer, which is not used.
    """

    function: Callable[[], nn.Module]
    head_name: str

    def reset(self, blocks: Sequence[nn.Module]) -> None:
        """Give the last blocks of the network's backbone the weights of a new one.

        Raises:
            InputError: They are not the blocks of such a network.
        """
        if not blocks:
            return
        try:
            new = self._make_network()
            if isinstance(blocks[0], Block):
                for block in blocks:
                    _take_values(new, cast(Block, block).network)
            else:
                new_blocks = list_blocks(new)
                if len(blocks) > len(new_blocks):
                    raise ValueError(f"{len(new_blocks)} blocks instead of {len(blocks)}")
                for block, new_block in zip(blocks, new_blocks[-len(blocks) :], strict=True):
                    block.load_state_dict(new_block.state_dict())
                    _take_values(new_block, block)
            detach_tensors(nn.ModuleList(blocks))
        except Exception as error:  # the function is the user's code
            raise InputError(
                "a function that makes the same network with random weights",
                " ".join(str(error).split())[:200],
                "correct the function",
            ) from None

    def check(self, blocks: Sequence[nn.Module]) -> None:
        """Raise an `InputError` where weights are not random, or depend on more than the seed.

        Args:
            blocks: Blocks of a backbone that is to get such weights; they stay as they are.
        """
        first, again, other = (self._draw(blocks, seed) for seed in (0, 0, 1))
        drawn_again = again.state_dict()
        for name, value in first.state_dict().items():
            if not torch.equal(value, drawn_again[name]):
                raise InputError(
                    "a function whose weights depend on the seed of torch alone",
                    f"one that gives {own_name(name)} others under the same seed",
                    "draw with torch's default generator alone, on the CPU",
                )
        if (common := find_common(first, other)) is not None:
            raise InputError(
                "a function that draws weights anew at every call",
                f"one that gives {own_name(common)} the same ones under two seeds",
                "return the network without pretrained weights, and set no seed in it",
            )

    def _draw(self, blocks: Sequence[nn.Module], seed: int) -> nn.ModuleList:
        """Return copies of blocks with random weights."""
        together = nn.ModuleList(blocks)
        detach_tensors(together)
        copies = copy.deepcopy(together).cpu()
        with draw_on_cpu(seed):
            self.reset(list(copies))
        return copies

    def _make_network(self) -> nn.Module:
        module: object = self.function()
        if not isinstance(module, nn.Module):
            raise TypeError(f"{type(module).__name__} instead of a torch.nn.Module")
        detach_tensors(module)
        # Copy it, because the function may keep what it returns.
        network = copy.deepcopy(module).cpu().float()
        return replace_module(network, self.head_name, nn.Identity())

    def __deepcopy__(self, _: dict[int, Any]) -> FreshNetwork:
        """Return the same object, because it never changes."""
        return self

    def __reduce__(self) -> tuple[type[FreshNetwork], tuple[Callable[[], nn.Module], str]]:
        """Pickle it for worker processes.

        Raises:
            InputError: The function cannot be pickled.
        """
        try:
            pickle.dumps(self.function)
        except Exception as error:  # pickling may raise anything
            raise InputError(
                "a function for random weights that can be sent to worker processes",
                " ".join(str(error).split())[:160],
                "define it with def at the top of a module, or use one worker",
            ) from None
        return type(self), (self.function, self.head_name)


def _take_values(source: nn.Module, target: nn.Module) -> None:
    """Copy parameters and buffers by name, also where the source has them as plain attributes.

    Raises:
        ValueError: The source lacks one of them, or has one of another shape.
    """
    new = {
        **dict(source.named_parameters(remove_duplicate=False)),
        **dict(source.named_buffers(remove_duplicate=False)),
    }
    with torch.no_grad():
        for name, value in (*target.named_parameters(), *target.named_buffers()):
            path, _, attribute = name.rpartition(".")
            given = new[name] if name in new else vars(source.get_submodule(path)).get(attribute)
            if not isinstance(given, Tensor) or given.shape != value.shape:
                raise ValueError(f"one without {name} of shape {tuple(value.shape)}")
            value.copy_(given)
