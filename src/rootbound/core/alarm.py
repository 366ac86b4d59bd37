"""Alarms, which stop code that runs too long between two steps of Python."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

LONGEST = 1e8
"""Largest number of seconds that an alarm can be set to."""
AGAIN = 10.0
"""Seconds after which an alarm repeats, in case that code has swallowed it."""


@contextlib.contextmanager
def raise_after(seconds: float, error: BaseException) -> Iterator[None]:
    """Raise an error in the code inside once this number of seconds has passed.

    Alarms may be nested. They need the main thread, and a system that has alarms; elsewhere nothing
    is raised. A single compiled call is not interrupted.

    Args:
        seconds: Time from now, above 0.
        error: The error to raise.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return
    begun, armed = time.monotonic(), True

    def ring(number: int, frame: FrameType | None) -> None:
        if armed and time.monotonic() >= begun + seconds:
            raise error
        if callable(outer):
            outer(number, frame)

    outer_left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    outer = signal.signal(signal.SIGALRM, ring)
    _set_timer(min(seconds, outer_left or math.inf))
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, outer)
        if outer_left:
            _set_timer(outer_left - (time.monotonic() - begun))


def _set_timer(seconds: float) -> None:
    # Ring a little later, so that the time is certainly over by then.
    signal.setitimer(signal.ITIMER_REAL, min(max(seconds, 0.0) + 1e-3, LONGEST), AGAIN)
