"""Fast copies of networks: `deepcopy` is slow at finding out how to copy each part."""

from __future__ import annotations

import copy
import copyreg
from collections import OrderedDict
from collections.abc import Iterable
from functools import cache
from typing import Any

from torch import nn

UNCHANGING = (type(None), bool, int, float, str)
"""Types of attributes that a copy shares."""
CONTAINERS = (OrderedDict, dict, set)
"""Types of a module's dozen attributes for hooks, which are mostly empty."""


def copy_parts(
    network: nn.Module, memory: dict[int, Any], hidden: Iterable[nn.Module] = ()
) -> None:
    """Put copies of a network's parts into the memory of `deepcopy`, as it would make them.

    Args:
        network: The network that is about to be copied.
        memory: What `deepcopy` has copied so far.
        hidden: Further modules that the network holds outside of its parts.
    """
    # The network may be a part of one whose parts are in the memory already.
    parts = [] if id(network._forward_hooks) in memory else list(network.modules())
    parts += hidden
    copies: list[tuple[nn.Module, dict[str, Any]]] = []
    for part in parts:
        kind: Any = type(part)
        if not _is_copied_by_attributes(kind):
            for value in vars(part).values():
                if type(value) in CONTAINERS and not value:
                    memory.setdefault(id(value), type(value)())
        elif id(part) not in memory:
            memory[id(part)] = copied = object.__new__(kind)
            copies.append((part, vars(copied)))
    # Inner parts come first, because a part with its own way of copying may need their copies.
    for part, attributes in reversed(copies):
        for name, value in part.__getstate__().items():
            if type(value) in UNCHANGING:
                attributes[name] = value
            elif type(value) in CONTAINERS and not value:
                attributes[name] = memory.setdefault(id(value), type(value)())
            else:
                attributes[name] = copy.deepcopy(value, memory)


@cache
def _is_copied_by_attributes(kind: Any) -> bool:
    """Return whether modules of a class are copied in the default way."""
    states = ("__getstate__", "__setstate__")
    usual = ("__new__", "__reduce__", "__reduce_ex__")
    special = ("__deepcopy__", "__getnewargs__", "__getnewargs_ex__", "__slots__")
    return (
        all(getattr(kind, way) is getattr(nn.Module, way) for way in states)
        and all(getattr(kind, way) is getattr(object, way) for way in usual)
        and not any(hasattr(kind, way) for way in special)
        and kind not in copyreg.dispatch_table
    )
