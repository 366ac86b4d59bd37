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
from rootbound.networks.head import replaced

RESETS = ("reset_parameters", "_reset_parameters", "init_weights")
"""Methods that draw weights anew, as torch, its attention, and timm call them."""
OF_LAYERS = RESETS[:2]
"""Those of them that layers have, whose weights are hardly ever the same twice."""


@contextlib.contextmanager
def drawn_on_cpu(seed: int) -> Iterator[None]:
    """Draw from a stream with this seed: the same weights, whatever device they are for."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


def blocks_of(backbone: nn.Module) -> list[nn.Module]:
    """Return a backbone's parts, in order."""
    return list(backbone) if isinstance(backbone, nn.Sequential) else [backbone]


def reset(modules: Sequence[nn.Module]) -> None:
    """Let every module draw its weights anew; one that `resets_children` is asked for all below.

    Raises:
        InputError: one holds weights of its own and has no method for that.
    """
    for part in modules:
        holds_weights = next(part.parameters(recurse=False), None) is not None
        names = RESETS if holds_weights else RESETS[:1]
        method = next((one for one in (getattr(part, name, None) for name in names) if one), None)
        if callable(method):
            method()
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
    """A network with random weights, by its own initialisation.

    Args:
        function: makes it, with weights out of torch's default generator.
        head: name of its last linear layer, which is not taken from it.
    """

    function: Callable[[], nn.Module]
    head: str

    def reset(self, blocks: Sequence[nn.Module]) -> None:
        """Give the last blocks of the network's backbone the weights of a new one.

        Raises:
            InputError: they are not the blocks of such a network.
        """
        if not blocks:
            return
        try:
            drawn = self._blocks()
            if len(blocks) > len(drawn):
                raise ValueError(f"{len(drawn)} blocks in place of {len(blocks)}")
            for block, new in zip(blocks, drawn[-len(blocks) :], strict=True):
                block.load_state_dict(new.state_dict())
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise InputError(
                "a function that makes the same network with random weights",
                " ".join(str(error).split())[:200],
                "correct the function",
            ) from None

    def check(self, blocks: Sequence[nn.Module]) -> None:
        """Raise an `InputError` where the seed does not settle the weights, or they are not random.

        Args:
            blocks: of a backbone that is to get such weights; they stay as they are.
        """
        first, again, other = (self._drawn(blocks, seed) for seed in (0, 0, 1))
        _same_for_a_seed(first, again)
        for name, part in other.named_modules():
            if not any(hasattr(part, method) for method in OF_LAYERS):
                continue
            for own, value in part.named_parameters(name, recurse=False):
                if _given(value, first.get_parameter(own)):
                    raise InputError(
                        "a function that draws weights anew at every call",
                        f"one that gives {own} the same ones under two seeds",
                        "return the network without pretrained weights, and set no seed in it",
                    )

    def _drawn(self, blocks: Sequence[nn.Module], seed: int) -> nn.ModuleList:
        copies = copy.deepcopy(nn.ModuleList(blocks)).cpu()
        with drawn_on_cpu(seed):
            self.reset(list(copies))
        return copies

    def _blocks(self) -> list[nn.Module]:
        made: object = self.function()
        if not isinstance(made, nn.Module):
            raise TypeError(f"{type(made).__name__} in place of a torch.nn.Module")
        # A copy, because the function may keep what it returns.
        whole = copy.deepcopy(made).cpu().float()
        return blocks_of(replaced(whole, self.head, nn.Identity()))

    def __deepcopy__(self, _: dict[int, Any]) -> FreshNetwork:
        """Return the same: there is nothing in it that changes."""
        return self

    def __reduce__(self) -> tuple[type[FreshNetwork], tuple[Callable[[], nn.Module], str]]:
        """Let it pass to worker processes, where its function can.

        Raises:
            InputError: the function cannot.
        """
        try:
            pickle.dumps(self.function)
        except Exception as error:  # what cannot be pickled raises anything
            raise InputError(
                "a function for random weights that can be sent to worker processes",
                " ".join(str(error).split())[:160],
                "define it with def at the top of a module, or use one worker",
            ) from None
        return type(self), (self.function, self.head)


def _same_for_a_seed(first: nn.Module, again: nn.Module) -> None:
    other = again.state_dict()
    for name, value in first.state_dict().items():
        if not torch.equal(value, other[name]):
            raise InputError(
                "a function whose weights the seed of torch settles",
                f"one that gives {name} others under the same seed",
                "draw with torch's default generator alone, on the CPU",
            )


def _given(value: Tensor, other: Tensor) -> bool:
    """Return whether weights were not drawn: the same twice, and no pattern such as ones or eye."""
    if not value.requires_grad or value.dim() < 2 or not torch.equal(value, other):
        return False
    return len(value.unique()) > 2
