"""A process that works for this one: it runs one job at a time, and may die of it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from itertools import count
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Any, Generic

import torch
from threadpoolctl import threadpool_limits
from torch import multiprocessing
from tqdm import tqdm

from rootbound.core.memory import keep_freed_memory, release_freed_memory
from rootbound.core.user_code import CarriedCode
from rootbound.execution.engine import Job, Result, WorkerDied
from rootbound.execution.program import NAME, failed_start, told_as_start

LOST_ACCELERATOR = 70
"""Exit code of a process whose accelerator does nothing more for it."""

FAREWELL = 10.0
"""Seconds that an idle process has for its end."""
READY = b"ready"
_numbers = count(1)


def become_worker(threads: int) -> None:
    """Make this process a worker with so many threads."""
    # Ctrl-C reaches the whole group: the parent alone answers it, and ends the workers.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    torch.set_num_threads(threads)
    # NumPy's and SciPy's own threads would fight over the cores with the other workers.
    threadpool_limits(threads)
    # Progress bars of several processes would overwrite each other: the parent shows one.
    os.environ["TQDM_DISABLE"] = "1"
    # Nor do they need a lock between processes, which an interrupted one would leave behind.
    tqdm.set_lock(threading.RLock())


def run_job(function: Callable[..., Result], job: Job, shared: tuple[Any, ...]) -> Result:
    """Run a job in a worker; end the process where its accelerator is lost.

    After a failed assertion on an accelerator, or a bad address there, every further call of the
    process fails. A new process can go on; a job that loses its accelerator again fails alone.
    """
    try:
        return function(job, *shared)
    except torch.AcceleratorError:
        traceback.print_exc()
        os._exit(LOST_ACCELERATOR)


class Worker(Generic[Job, Result]):
    """A process that was started afresh, and the line to it.

    Args:
        function: Runs a job: `function(job, *shared)`. Its module is imported once for all
            processes, and so are the modules that are named in `PRELOAD` there.
        shared: Further arguments, the same for all jobs; sent once.
        threads: Number of torch threads.
    """

    def __init__(
        self, function: Callable[..., Result], shared: tuple[Any, ...], threads: int
    ) -> None:
        context: ForkServerContext | SpawnContext = multiprocessing.get_context("spawn")
        if sys.platform == "linux":
            # A copy of a process that has imported what jobs need. That is safe, and what Python
            # does itself from 3.14 on.
            context = multiprocessing.get_context("forkserver")
            module = sys.modules[function.__module__]
            context.set_forkserver_preload([module.__name__, *getattr(module, "PRELOAD", ())])
        self.line, far_end = context.Pipe()
        """Ready to be read when a job has ended."""
        self._begun, said = context.Pipe(duplex=False)
        """Has something to read once the process is ready for jobs."""
        # The user's files are loaded before anything arrives that may need them.
        self._process = context.Process(
            target=_serve,
            args=(CarriedCode(), threads, far_end, said),
            name=f"{NAME}-{next(_numbers)}",
        )
        self._process.start()
        far_end.close()
        said.close()
        self._send((function, shared))

    @property
    def ends(self) -> tuple[Connection, int]:
        """What to wait for: one of them is ready when a job has ended, or the process has."""
        # The line alone would not do: a process that a job has started holds it open, too.
        return self.line, self._process.sentinel

    def give(self, job: Job) -> None:
        """Have a job run."""
        self._send(job)

    def result(self) -> Result:
        """Wait for the end of the job and return its result; raise what it raised.

        Raises:
            WorkerDied: The process ended before.
            InputError: The process ended at its start: another would do the same.
        """
        try:
            if self.line not in wait(self.ends) and not self.line.poll():
                raise EOFError
            result, error = self.line.recv()
        except (EOFError, OSError):
            raise self._bury() from None
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def _bury(self) -> Exception:
        """Return the error for a process that has ended."""
        # Whether it has begun is asked for first: nothing is left to read when all is closed.
        has_begun = self._has_begun()
        self.stop()
        code = self._process.exitcode
        # What a signal has ended, as where memory runs out, may start another time.
        if has_begun or code is None or code < 0:
            return WorkerDied(_cause_of_death(code))
        return failed_start(code)

    def _has_begun(self) -> bool:
        with contextlib.suppress(EOFError, OSError):
            return self._begun.poll() and self._begun.recv_bytes() == READY
        return False

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self.dismiss()

    def dismiss(self) -> None:
        """Let an idle process end, and wait for that; end it where jobs have left threads in it."""
        self.line.close()
        self._begun.close()
        self._process.join(FAREWELL)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _send(self, message: object) -> None:
        # A process that has died says so when its result is asked for.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.line.send(message)


def _cause_of_death(code: int | None) -> str:
    """Say in words why a process ended."""
    if code == 1:
        return "its process was ended, as where a single call goes on beyond the limit"
    if code == LOST_ACCELERATOR:
        return "its process ended with its accelerator, which met an error that it does not survive"
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    more = ", as the system does where memory runs out" if -code == signal.SIGKILL else ""
    return f"its process was ended by {name}{more}"


def _serve(_code: CarriedCode, threads: int, line: Connection, begun: Connection) -> None:
    """Run the jobs that come along the line until nobody is at its other end."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    become_worker(threads)
    with contextlib.suppress(EOFError, ConnectionError):
        try:
            function, shared = line.recv()
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # what cannot be unpickled here raises anything
            line.send((None, told_as_start(error)))
            return
        begun.send_bytes(READY)
        begun.close()
        while True:
            _answer(line, *_run_next(line, function, shared))
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


def _run_next(
    line: Connection, function: Callable[..., Result], shared: tuple[Any, ...]
) -> tuple[Result | None, BaseException | None]:
    """Run the next job; return its result, or what it raised."""
    try:
        job = line.recv()
    except (EOFError, ConnectionResetError):
        raise
    except Exception as error:  # a job that cannot be unpickled here raises anything
        return None, error
    try:
        return run_job(function, job, shared), None
    except BaseException as error:  # the caller deals with it, whatever it is
        error.add_note("".join(traceback.format_exception(error)))
        return None, error


def _answer(line: Connection, result: object, error: BaseException | None) -> None:
    try:
        line.send((result, error))
    except (ConnectionResetError, BrokenPipeError):
        raise
    except Exception as reason:  # a result that cannot be pickled raises anything
        cause = error or reason
        message = f"a job's end cannot be sent: {type(cause).__name__}: {cause}"
        line.send((None, RuntimeError(message)))
