"""What is being done, how far it is, and how long it will take: a bar, or a line a minute in a log.

Whoever does something long opens a `step`, which may have others within. A terminal or a notebook
shows a bar for each; where the output is a file, a thread says it in a line, so that one long call
is no silence either.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

log = logging.getLogger(__name__)
FIRST_LINE = 0.7
"""Seconds until a log has its first line."""
BETWEEN_LINES = 55.0
"""Seconds from line to line."""
REFRESH = 1.0
"""Seconds after which bars show the time again, though nothing has moved."""
LEAST_SHARE = 0.01
"""Share of the work that is done before the time left is guessed."""


@dataclass(eq=False)
class Step:
    """Something that is being done.

    Args:
        title: What it is, in words.
        total: Number of its parts; 1 where nobody counts.
        done: How many are done.
        until: When it ends, by the clock of `time.monotonic`, where that was asked for.
    """

    title: str
    total: int = 1
    done: int = 0
    until: float | None = None
    started: float = field(init=False)
    _before: int = field(init=False)
    _reached: deque[tuple[float, int]] = field(init=False)
    _bar: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self._before = self.done
        self._reached = deque([(self.started, self.done)])
        if _shows_bars():
            counted = {} if self.total > 1 else {"bar_format": "{desc} ({elapsed})"}
            # What is over within a second would only flicker.
            self._bar = tqdm(
                None, self.title, self.total, False, initial=self.done, delay=1, **counted
            )

    def advance(self, count: int = 1) -> None:
        """Say that so many parts more are done."""
        self.reach(self.done + count)

    def reach(self, done: int) -> None:
        """Say how many parts are done."""
        done = min(done, self.total)
        if done <= self.done:
            return
        if self._bar is not None:
            self._bar.update(done - self.done)
        self.done = done
        self._reached.append((time.monotonic(), done))
        while self._reached[1][1] - self._before <= (done - self._before) / 2:
            self._reached.popleft()

    def expect(self, more: int) -> None:
        """Say that there are so many parts more."""
        self.total += more
        if self._bar is not None:
            self._bar.total = self.total

    def refresh(self) -> None:
        """Show the bar again: a second has passed."""
        if self._bar is not None and time.monotonic() > self.started + 1:
            self._bar.refresh()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def seconds_left(self, within: Sequence[Step]) -> float | None:
        """Return a guess at the seconds until the end; None where it is too early for one.

        Parts are not alike, and those of late tell most of those to come. So the guess is made
        from how long the second half of what is done has taken.

        Args:
            within: The steps that its current part consists of, from the outside in.
        """
        now = time.monotonic()
        if self.until is not None:
            return max(0.0, self.until - now)
        share, total = _share_done((self, *within)), max(1, self.total)
        if share - self._before / total < LEAST_SHARE:
            return None
        since, done = self._reached[0]
        return (now - since) * (1 - share) / (share - done / total)

    def __str__(self) -> str:
        return f"{self.title}, {self.done} of {self.total}" if self.total > 1 else self.title


_steps: list[Step] = []
"""What this process is doing, each step a part of the one before."""
_shown = threading.Lock()


@contextlib.contextmanager
def step(title: str, total: int = 1, done: int = 0, until: float | None = None) -> Iterator[Step]:
    """Show that something is being done while the block runs.

    Args:
        title: What it is, in words.
        total: Number of its parts; 1 where nobody counts.
        done: How many are done already.
        until: When it is to end, by the clock of `time.monotonic`.
    """
    current = Step(title, total, done, until)
    _steps.append(current)
    try:
        yield current
    finally:
        _steps.remove(current)
        current.close()


@contextlib.contextmanager
def shown(title: str) -> Iterator[None]:
    """Have signs of life while the block runs: in this process, and where no outer one does that.

    Args:
        title: What runs, in words.
    """
    if os.environ.get("RANK", "0") != "0" or not _shown.acquire(blocking=False):
        yield
        return
    over = threading.Event()
    work = _refresh_bars if _shows_bars() else _write_lines
    thread = threading.Thread(target=work, args=(title, over.wait), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _shown.release()


def say(title: str) -> None:
    """Say at once what comes, where nothing else would for seconds."""
    if not _shows_bars():
        log.info("%s", title)


def describe(title: str, seconds: float) -> str:
    """Return in one line what this process is doing, and how long it has been at it."""
    steps = tuple(_steps)
    words = [f"{title} for {in_words(seconds)}", *map(str, steps)]
    left = next(
        (left for i, one in enumerate(steps) if (left := one.seconds_left(steps[i + 1 :]))), None
    )
    if left is not None:
        words.append(f"about {in_words(left)} left")
    return "; ".join(words)


def in_words(seconds: float) -> str:
    """Return a time in the two units that matter."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _share_done(steps: Sequence[Step]) -> float:
    """Return the share of the first step that is done, the rest being its current part."""
    if not steps:
        return 0.0
    first, *rest = steps
    if first.done >= first.total:
        return 1.0
    return (first.done + _share_done(rest)) / first.total


def _shows_bars() -> bool:
    """Return whether somebody watches: a terminal, or a notebook."""
    if "TQDM_DISABLE" in os.environ:
        return False
    # Other libraries import the kernel, too: in a notebook it runs.
    kernel: Any = sys.modules.get("ipykernel.kernelapp")
    return sys.stderr.isatty() or (kernel is not None and kernel.IPKernelApp.initialized())


def _write_lines(title: str, wait: Callable[[float], bool]) -> None:
    started, pause = time.monotonic(), FIRST_LINE
    while not wait(pause):
        pause = BETWEEN_LINES
        # Where a trial has taken all memory its own failure is the one to tell.
        with contextlib.suppress(MemoryError):
            log.info("%s", describe(title, time.monotonic() - started))


def _refresh_bars(_title: str, wait: Callable[[float], bool]) -> None:
    while not wait(REFRESH):
        for current in tuple(_steps):
            with contextlib.suppress(MemoryError):
                current.refresh()
