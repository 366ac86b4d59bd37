"""What one trial may take of the machine: an attack that hangs or eats is one failed record."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rootbound.core.alarm import LONGEST, raise_after
from rootbound.core.memory import count_kept_bytes

if sys.platform == "linux":
    import resource


ROOM = 2**26
"""Bytes that may always be asked for: kept memory is no room for a file that is mapped."""


class TrialStopped(BaseException):
    """A trial was stopped. No `Exception`: an attack that catches those must not catch this."""


@dataclass(frozen=True)
class Limits:
    """How long a trial may take, and how much memory.

    An alarm keeps the time: in the main thread of a process, on systems that have alarms, and
    between steps of Python. A single compiled call that never returns ends only with its process,
    and only a worker process may be ended. Memory is limited on Linux.

    Args:
        seconds: Time of one trial, above 0.
        memory: Share of the memory that is available when the trial starts, in (0, 1].
        patience: Seconds beyond the limit after which the process is ended; None: never.
    """

    seconds: float = 3600.0
    memory: float = 0.9
    patience: float | None = None

    @contextlib.contextmanager
    def enforce(self, trials: int) -> Iterator[None]:
        """Stop what runs inside when so many trials should have been over.

        Raises:
            TrialStopped: It takes too long.
            MemoryError: An allocation goes beyond the limit; torch raises RuntimeError.
        """
        seconds = self.seconds * trials
        with contextlib.ExitStack() as stack:
            if self.patience is not None:
                stack.enter_context(_end_process_after(seconds + self.patience))
            stack.enter_context(
                raise_after(seconds, TrialStopped(f"took longer than {seconds:g} s"))
            )
            if sys.platform == "linux":
                stack.enter_context(_limit_memory(self.memory))
            yield


@contextlib.contextmanager
def _end_process_after(seconds: float) -> Iterator[None]:
    """End the process, with exit code 1, where what runs inside heeds no alarm."""
    # faulthandler has a thread that needs no Python: the call may hold the interpreter's lock.
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(min(seconds, LONGEST), exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _limit_memory(share: float) -> Iterator[None]:
    """Refuse allocations beyond what is used now and a share of what is left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # What the process keeps for the next tensor is not used now. To give it back would cost more
    # than to ask: a trial's first steps would get all of it again.
    kept = count_kept_bytes()
    held = 1024 * _read_kibibytes("/proc/self/status", "VmData")
    free = 1024 * _read_kibibytes("/proc/meminfo", "MemAvailable") + kept
    most = max(held - kept + int(share * free), held + ROOM)
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _read_kibibytes(path: str, name: str) -> int:
    lines = Path(path).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
