"""What one trial may take of the machine: an attack that hangs or eats is one failed record."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rootbound.core.memory import release_freed_memory

if sys.platform == "linux":
    import resource

LONGEST = 1e8
"""Seconds that an alarm can be set to, at most."""
AGAIN = 10.0
"""Seconds after which an attack that has swallowed the first stop is stopped once more."""


class TrialStopped(BaseException):
    """A trial was stopped; no `Exception`, so that an attack does not take it for its own."""


@dataclass(frozen=True)
class Limits:
    """How long a trial may take, and how much memory.

    Time is kept in the main thread of a process, on systems that have alarms, and between steps
    of Python. A single compiled call that never returns ends only with its process, which only
    one that works for another may. Memory is limited on Linux.

    Args:
        seconds: of one trial, above 0.
        memory: share of what is available when it starts, in (0, 1].
        patience: seconds beyond the limit after which the process is ended; None: never.
    """

    seconds: float = 3600.0
    memory: float = 0.9
    patience: float | None = None

    @contextlib.contextmanager
    def kept(self, trials: int) -> Iterator[None]:
        """Stop what runs inside when so many trials should have been over.

        Raises:
            TrialStopped: they are not.
            MemoryError: or torch's RuntimeError, where an allocation goes beyond the limit.
        """
        seconds = self.seconds * trials
        with _end(seconds, self.patience), _alarm(seconds), _allowance(self.memory):
            yield


@contextlib.contextmanager
def _end(seconds: float, patience: float | None) -> Iterator[None]:
    """End the process, with exit code 1, where what runs inside heeds no alarm."""
    if patience is None:
        yield
        return
    # A thread of its own that needs no Python: the call may hold the interpreter's lock.
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(min(seconds + patience, LONGEST), exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return
    armed = True

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if armed:
            raise TrialStopped(f"took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, LONGEST), AGAIN)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _allowance(share: float) -> Iterator[None]:
    """Refuse allocations beyond what is used now and a share of what is left."""
    if sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # What the process keeps for the next tensor would count as used now.
    release_freed_memory()
    most = _kibibytes("/proc/self/status", "VmData") + int(
        share * _kibibytes("/proc/meminfo", "MemAvailable")
    )
    allowed = most * 1024 if hard == resource.RLIM_INFINITY else min(most * 1024, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _kibibytes(path: str, name: str) -> int:
    lines = Path(path).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
