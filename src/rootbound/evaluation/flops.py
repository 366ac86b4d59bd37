"""Counting the floating-point operations of an attack."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.flop_counter import FlopCounterMode

from rootbound.attacks import Snapshot


class Meter:
    """Passes snapshots on and counts what it took to make them, scoring excluded.

    Matrix products and convolutions of the first two steps are counted as they happen
    (multiplications and additions both); every further step is taken to cost as much as the
    second. Work that torch does not see is what the attack says it is.
    """

    def __init__(self, snapshots: Iterator[Snapshot]) -> None:
        self._snapshots = snapshots
        self._counted: list[float] = []
        self._told = 0.0
        self._pulls = 0

    def __iter__(self) -> Iterator[Snapshot]:
        while True:
            self._pulls += 1
            if len(self._counted) < 2:
                with FlopCounterMode(display=False) as counter:
                    snapshot = next(self._snapshots, None)
                self._counted.append(float(counter.get_total_flops()))
            else:
                snapshot = next(self._snapshots, None)
            if snapshot is None:
                return
            self._told = snapshot.flops
            yield snapshot

    @property
    def flops(self) -> float:
        """Operations so far."""
        # The last pull found the end, and cost nothing.
        further = max(0, self._pulls - 1 - len(self._counted))
        return sum(self._counted) + further * (self._counted or [0.0])[-1] + self._told
