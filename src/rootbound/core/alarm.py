"""Alarms: what runs too long is stopped between two steps of Python."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

LONGEST = 1e8
"""Seconds that an alarm can be set to, at most."""
AGAIN = 10.0
"""Seconds after which code that has swallowed an alarm meets it once more."""


@contextlib.contextmanager
def raise_after(seconds: float, error: BaseException) -> Iterator[None]:
    """Raise an error in what runs inside, once so many seconds have passed.

    Alarms may be set inside of each other. They need the main thread, and a system that has
    alarms; elsewhere nothing is raised. A single compiled call is not interrupted.

    Args:
        seconds: Time from now, above 0.
        error: What is raised.
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
    _set(min(seconds, outer_left or math.inf))
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, outer)
        if outer_left:
            _set(outer_left - (time.monotonic() - begun))


def _set(seconds: float) -> None:
    # A little later: whoever is asked then must find that its time is over.
    signal.setitimer(signal.ITIMER_REAL, min(max(seconds, 0.0) + 1e-3, LONGEST), AGAIN)
