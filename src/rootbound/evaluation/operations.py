"""Counting the floating-point operations of an attack, in little more time than they take."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, ClassVar

from torch._C import DispatchKey
from torch._ops import OpOverload
from torch.utils.flop_counter import FlopCounterMode, _FlopCounterMode

from rootbound.attacks import Snapshot


class _Counting(_FlopCounterMode):
    """Counts as torch does, which asks at every call whether an operation is made of others.

    Torch's module tracker is left out: it breaks down where parametrized layers are run. So is what
    keeps torch's compiler away at every call, and loads it first: nothing is compiled here.
    """

    simple: ClassVar[set[object]] = set()
    """Operations that are known not to be."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do what is asked, and count it."""
        if func in self.simple:
            given = kwargs or {}
            outputs, packet = func(*args, **given), func._overloadpacket
            if packet in self.counter.flop_registry:
                self.counter._count_flops(packet, outputs, args, given)
            return outputs
        outputs = _COUNT(self, func, types, args, kwargs)
        known = outputs is not NotImplemented and isinstance(func, OpOverload)
        if known and not func.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd):
            self.simple.add(func)
        return outputs


_COUNT = inspect.unwrap(_FlopCounterMode.__torch_dispatch__)


class FlopCounter:
    """Counts the floating-point operations of an attack, scoring excluded.

    Matrix products and convolutions of the first two steps are counted as they happen
    (multiplications and additions both); every further step is taken to cost as much as the
    second. Work that torch does not see is what the attack says it is.
    """

    def __init__(self) -> None:
        self._counted: list[float] = []
        self._further = 0
        self._stated = 0.0

    def count(self, snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
        """Pass snapshots on and count what it takes to make them."""
        while True:
            if len(self._counted) < 2:
                counter = FlopCounterMode(display=False)
                with _Counting(counter):
                    snapshot = next(snapshots, None)
                self._counted.append(float(counter.get_total_flops()))
            else:
                snapshot = next(snapshots, None)
                self._further += snapshot is not None
            if snapshot is None:
                return
            self._stated = snapshot.flops
            yield snapshot

    @property
    def flops(self) -> float:
        """Operations so far."""
        return sum(self._counted) + self._further * (self._counted or [0.0])[-1] + self._stated
