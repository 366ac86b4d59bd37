"""Limits of time and memory for one trial: an attack that exceeds them is one failed record."""

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
"""Bytes that may always be allocated: a mapped file does not fit into memory that torch keeps."""


class TrialStopped(BaseException):
    """A trial was stopped. An attack that catches every `Exception` does not catch this one."""


@dataclass(frozen=True)
class Limits:
    """How long a trial may take, and how much memory.

    An alarm stops a trial that takes too long. It works in the main thread of a process, on systems
    that have alarms, and between steps of Python. A single compiled call that never returns can
    only be stopped by ending its process, which only a worker may do. Memory is limited on Linux.

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
        """Stop the code inside once it takes longer than this number of trials may.

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
    """End the process with exit code 1 where the code inside ignores the alarm."""
    # faulthandler has a thread that runs even while the call holds the interpreter's lock.
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(min(seconds, LONGEST), exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _limit_memory(share: float) -> Iterator[None]:
    """Refuse allocations beyond the memory in use now and a share of the free memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    # Memory that the process keeps for later tensors is not in use now. Releasing it would be slow:
    # the first steps of a trial would allocate all of it again.
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
