"""Random weights: drawn by every module itself, or by the function that makes the network."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks.wrapping import list_blocks, replace_module

RESET_METHODS = ("reset_parameters", "_reset_parameters", "init_weights")
"""Methods that draw weights anew, as torch, its attention, and timm call them."""
RESET_METHODS_OF_LAYERS = RESET_METHODS[:2]
"""Those that layers have, whose weights are hardly ever the same twice."""


@contextlib.contextmanager
def draw_on_cpu(seed: int) -> Iterator[None]:
    """Draw from a stream with this seed: the same weights, whatever device they are for."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


def reset(modules: Sequence[nn.Module]) -> None:
    """Let every module draw its weights anew; one that says `resets_children` does it for all.

    Raises:
        InputError: A module holds weights of its own and has no method for that.
    """
    for part in modules:
        holds_weights = next(part.parameters(recurse=False), None) is not None
        names = RESET_METHODS if holds_weights else RESET_METHODS[:1]
        methods = [method for name in names if (method := getattr(part, name, None))]
        if methods and callable(methods[0]):
            methods[0]()
        elif holds_weights:
            raise InputError(
                "modules with reset_parameters(), to draw random weights",
                f"{type(part).__name__}, which holds weights and has none",
                "give it a reset_parameters() method, or name a function that draws the whole "
                "network anew at every call (fresh=function, or --model file.py:function)",
            )
        if not getattr(part, "resets_children", False):
            reset(list(part.children()))


@dataclass(frozen=True)
class FreshNetwork:
    """A source of random weights: the function that makes the network.

    Args:
        function: Makes the network, with weights out of torch's default generator.
        head_name: Dotted name of its last linear layer, which is not taken from it.
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
            new_blocks = self._make_blocks()
            if len(blocks) > len(new_blocks):
                raise ValueError(f"{len(new_blocks)} blocks in place of {len(blocks)}")
            for block, new in zip(blocks, new_blocks[-len(blocks) :], strict=True):
                block.load_state_dict(new.state_dict())
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
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
                    f"one that gives {name} others under the same seed",
                    "draw with torch's default generator alone, on the CPU",
                )
        for name, part in other.named_modules():
            if not any(hasattr(part, method) for method in RESET_METHODS_OF_LAYERS):
                continue
            for full_name, value in part.named_parameters(name, recurse=False):
                if _were_not_drawn(value, first.get_parameter(full_name)):
                    raise InputError(
                        "a function that draws weights anew at every call",
                        f"one that gives {full_name} the same ones under two seeds",
                        "return the network without pretrained weights, and set no seed in it",
                    )

    def _draw(self, blocks: Sequence[nn.Module], seed: int) -> nn.ModuleList:
        """Return copies of blocks with random weights."""
        copies = copy.deepcopy(nn.ModuleList(blocks)).cpu()
        with draw_on_cpu(seed):
            self.reset(list(copies))
        return copies

    def _make_blocks(self) -> list[nn.Module]:
        module: object = self.function()
        if not isinstance(module, nn.Module):
            raise TypeError(f"{type(module).__name__} in place of a torch.nn.Module")
        # A copy, because the function may keep what it returns.
        network = copy.deepcopy(module).cpu().float()
        return list_blocks(replace_module(network, self.head_name, nn.Identity()))

    def __deepcopy__(self, _: dict[int, Any]) -> FreshNetwork:
        """Return the same object, in which nothing changes."""
        return self

    def __reduce__(self) -> tuple[type[FreshNetwork], tuple[Callable[[], nn.Module], str]]:
        """Let it pass to worker processes, where its function can.

        Raises:
            InputError: The function cannot.
        """
        try:
            pickle.dumps(self.function)
        except Exception as error:  # what cannot be pickled raises anything
            raise InputError(
                "a function for random weights that can be sent to worker processes",
                " ".join(str(error).split())[:160],
                "define it with def at the top of a module, or use one worker",
            ) from None
        return type(self), (self.function, self.head_name)


def _were_not_drawn(value: Tensor, other: Tensor) -> bool:
    """Return whether weights are the same twice, and no pattern such as ones or the identity."""
    if not value.requires_grad or value.dim() < 2 or not torch.equal(value, other):
        return False
    return len(value.unique()) > 2
