"""Copies of networks in a part of the time: a module holds a dozen dictionaries of no hooks."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn


def enter_empty(network: nn.Module, memory: dict[int, Any]) -> None:
    """Enter copies of the empty dictionaries of all modules, which `deepcopy` is slow to make.

    Args:
        network: The network that is about to be copied.
        memory: What `deepcopy` has copied so far.
    """
    if id(network._forward_hooks) in memory:
        return  # it is a part of one that was entered
    for part in network.modules():
        for value in vars(part).values():
            if type(value) in (OrderedDict, dict) and not value:
                memory.setdefault(id(value), type(value)())
