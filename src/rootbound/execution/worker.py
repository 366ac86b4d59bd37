"""One process of this machine that does jobs for this one, one at a time, and may die of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Any, Generic

from torch import multiprocessing

from rootbound.core.memory import release_freed_memory
from rootbound.core.user_code import CarriedCode
from rootbound.execution.crew import Job, Result, WorkerDied
from rootbound.execution.process import LOST, do, settle_in

LOADED = ["rootbound.evaluation.jobs", "torch._dynamo"]
"""What is imported once for all workers: what jobs need, and what the first optimiser needs."""


class Worker(Generic[Job, Result]):
    """A process that was started afresh, and the line to it.

    Args:
        function: does a job: `function(job, *shared)`.
        shared: the same for all jobs; sent once.
        threads: torch threads.
    """

    def __init__(
        self, function: Callable[..., Result], shared: tuple[Any, ...], threads: int
    ) -> None:
        context = _context()
        self.line, there = context.Pipe()
        """Ready to be read when a job has ended, or the process has."""
        # The user's files are loaded before anything arrives that may need them.
        self._process = context.Process(target=_serve, args=(CarriedCode(), threads, there))
        self._process.start()
        there.close()
        self._send((function, shared))

    def give(self, job: Job) -> None:
        """Have a job done."""
        self._send(job)

    def result(self) -> Result:
        """Wait for the end of the job and return its result; raise what it raised.

        Raises:
            WorkerDied: the process ended before.
        """
        try:
            result, error = self.line.recv()
        except (EOFError, OSError):
            self.stop()
            raise WorkerDied(_cause(self._process.exitcode)) from None
        if error is not None:
            raise error
        found: Result = result
        return found

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self.dismiss()

    def dismiss(self) -> None:
        """Let an idle process end, and wait for that."""
        self.line.close()
        self._process.join()

    def _send(self, what: object) -> None:
        # A process that has died says so when its result is asked for.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.line.send(what)


def _context() -> ForkServerContext | SpawnContext:
    """Return how processes are started: where that is safe as copies of one that has imported.

    Python does so itself from 3.14 on.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context


def _cause(code: int | None) -> str:
    """Say in words why a process ended."""
    if code == 1:
        return "its process was ended, as where a single call goes on beyond the limit"
    if code == LOST:
        return "its process ended with its accelerator, which met an error that it does not survive"
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    more = ", as the system does where memory runs out" if -code == signal.SIGKILL else ""
    return f"its process was ended by {name}{more}"


def _serve(_code: CarriedCode, threads: int, line: Connection) -> None:
    """Do what comes along the line until nobody is at its other end."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    settle_in(threads)
    with contextlib.suppress(EOFError, ConnectionError):
        function, shared = line.recv()
        while True:
            _answer(line, *_done(line, function, shared))
            release_freed_memory()


def _end_with_parent() -> None:
    """End this process, whatever it does, when the one that it works for is no more.

    A program that is killed outright cannot end its workers, which would be at their jobs for
    minutes, for nobody.
    """
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _done(
    line: Connection, function: Callable[..., Result], shared: tuple[Any, ...]
) -> tuple[Result | None, BaseException | None]:
    """Do the next job; return its result, or what it raised."""
    try:
        job = line.recv()
    except (EOFError, ConnectionResetError):
        raise
    except Exception as error:  # what cannot be unpickled here raises anything
        return None, error
    try:
        return do(function, job, shared), None
    except BaseException as error:  # the caller's to deal with, whatever it is
        error.add_note("".join(traceback.format_exception(error)))
        return None, error


def _answer(line: Connection, result: object, error: BaseException | None) -> None:
    try:
        line.send((result, error))
    except (ConnectionResetError, BrokenPipeError):
        raise
    except Exception as reason:  # what cannot be pickled raises anything
        what = error or reason
        line.send(
            (None, RuntimeError(f"a job's end cannot be sent: {type(what).__name__}: {what}"))
        )
