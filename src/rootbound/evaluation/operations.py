"""Counting the floating-point operations of an attack, with little overhead."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, ClassVar

from torch._C import DispatchKey
from torch._ops import OpOverload
from torch.utils.flop_counter import FlopCounterMode, _FlopCounterMode

from rootbound.attacks import Snapshot


class _Counting(_FlopCounterMode):
    """Counts as torch's own mode does, but faster.

    Torch asks at every call whether an operation decomposes into others; here the answer is kept.
    Torch's module tracker is left out, because it fails on parametrized layers. So is the check
    that skips torch's compiler, because it loads the compiler first, and nothing is compiled here.
    """

    simple: ClassVar[set[object]] = set()
    """Operations that are known not to decompose into others."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation and count it."""
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
    (multiplications and additions both). Every further step is taken to cost as much as the
    second. For work that torch does not see, the attack's own figure is added.
    """

    def __init__(self) -> None:
        self._counted: list[float] = []
        self._further = 0
        self._stated = 0.0

    def count(self, snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
        """Pass snapshots on and count the operations that made them."""
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
