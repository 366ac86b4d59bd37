"""Progress of long work: a bar, or one line per minute in a log, with an estimate of the time left.

Long work opens a `step`, which may contain others. A terminal or a notebook shows a bar for each.
If the output is a file, a thread writes lines, so that even a single long call is not silent. They
go to the program's log, or to the error stream if it has none.
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
"""Seconds until the first line in a log."""
BETWEEN_LINES = 55.0
"""Seconds between two lines."""
REFRESH = 1.0
"""Seconds after which bars show the time again, even without progress."""
LEAST_SHARE = 0.01
"""Share of the work that must be done before the time left is estimated."""


@dataclass(eq=False)
class Step:
    """A piece of work in progress.

    Args:
        title: A description of the work.
        total: Number of its parts; 1 if they are not counted.
        done: Number of finished parts.
        until: When it ends, by the clock of `time.monotonic`, if it has a time limit.
        goal: What the time left leads to.
    """

    title: str
    total: int = 1
    done: int = 0
    until: float | None = None
    goal: str = "left"
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
            # A bar for work of less than a second would only flicker.
            self._bar = tqdm(
                None, self.title, self.total, False, initial=self.done, delay=1, **counted
            )

    def advance(self, count: int = 1) -> None:
        """Count further parts as done."""
        self.reach(self.done + count)

    def reach(self, done: int) -> None:
        """Set the number of finished parts."""
        done = min(done, self.total)
        if done <= self.done:
            return
        if self._bar is not None:
            self._bar.update(done - self.done)
        self.done = done
        self._reached.append((time.monotonic(), done))
        while self._reached[1][1] - self._before <= (done - self._before) / 2:
            self._reached.popleft()

    def expect(self, total: int) -> None:
        """Set the number of parts that there will be."""
        self.total = max(total, self.done)
        if self._bar is not None:
            self._bar.total = self.total

    def restart(self, title: str, total: int, done: int = 0) -> None:
        """Begin to count the parts of the work that comes next."""
        self.title, self.total, self.done, self.goal = title, total, done, "left"
        self._before, self._reached = done, deque([(time.monotonic(), done)])
        if self._bar is not None:
            self._bar.set_description(title)
            self._bar.reset(total)
            self._bar.update(done)

    def refresh(self) -> None:
        """Show the bar again, because a second has passed."""
        if self._bar is not None and time.monotonic() > self.started + 1:
            self._bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def seconds_left(self, within: Sequence[Step]) -> float | None:
        """Return an estimate of the seconds until the end; None if it is too early for one.

        Parts differ, and the latest ones are most like those to come. So the estimate is based on
        the time that the second half of the finished parts has taken.

        Args:
            within: The steps inside its current part, from the outside in.
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
"""The current steps of this process, each a part of the one before."""
_shown = threading.Lock()


@contextlib.contextmanager
def step(
    title: str, total: int = 1, done: int = 0, until: float | None = None, goal: str = "left"
) -> Iterator[Step]:
    """Show progress while the block runs.

    Args:
        title: A description of the work.
        total: Number of its parts; 1 if they are not counted.
        done: Number of parts that are finished already.
        until: When it should end, by the clock of `time.monotonic`.
        goal: What the time left leads to, such as `until all are ready`.
    """
    current = Step(title, total, done, until, goal)
    _steps.append(current)
    try:
        yield current
    finally:
        _steps.remove(current)
        current.close()


@contextlib.contextmanager
def shown(title: str) -> Iterator[None]:
    """Refresh bars, or write lines to the log, while the block runs, unless an outer one does.

    Args:
        title: A description of the work.
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
    """Announce the next work at once, if nothing else would be shown for seconds."""
    if not _shows_bars():
        _write_line(title)


def describe(title: str, seconds: float) -> str:
    """Return one line that says what this process is doing, and since when."""
    steps = tuple(_steps)
    words = [f"{title} for {in_words(seconds)}", *map(str, steps)]
    for number, one in enumerate(steps):
        if left := one.seconds_left(steps[number + 1 :]):
            words.append(f"about {in_words(left)} {one.goal}")
            break
    return "; ".join(words)


def in_words(seconds: float) -> str:
    """Return a duration in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _share_done(steps: Sequence[Step]) -> float:
    """Return the finished share of the first step; the other steps are inside its current part."""
    if not steps:
        return 0.0
    first, *rest = steps
    if first.done >= first.total:
        return 1.0
    return (first.done + _share_done(rest)) / first.total


def _shows_bars() -> bool:
    """Return whether bars can be shown: in a terminal or a notebook."""
    if "TQDM_DISABLE" in os.environ:
        return False
    # Other libraries import the kernel too, but it only runs in a notebook.
    kernel: Any = sys.modules.get("ipykernel.kernelapp")
    return sys.stderr.isatty() or (kernel is not None and kernel.IPKernelApp.initialized())


def _write_lines(title: str, wait: Callable[[float], bool]) -> None:
    started, pause = time.monotonic(), FIRST_LINE
    while not wait(pause):
        pause = BETWEEN_LINES
        # If a trial has used up all memory, its own failure will be reported.
        with contextlib.suppress(MemoryError):
            _write_line(describe(title, time.monotonic() - started))


def _write_line(line: str) -> None:
    """Log a line; if the program has set up no log, write it to the error stream.

    Python drops what no handler takes, and a script in a batch job would run for hours in silence.
    """
    if log.hasHandlers():
        log.info("%s", line)
    else:
        tqdm.write(f"rootbound: {line}", file=sys.stderr)


def _refresh_bars(_title: str, wait: Callable[[float], bool]) -> None:
    while not wait(REFRESH):
        for current in tuple(_steps):
            with contextlib.suppress(MemoryError):
                current.refresh()
