"""A worker process: it runs one job at a time, and may be killed by it."""

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
from rootbound.execution.program import NAME, failed_start_error, unreadable_start_error

LOST_ACCELERATOR = 70
"""Exit code of a process whose accelerator no longer works for it."""

FAREWELL = 10.0
"""Seconds that an idle process has to end."""
READY = b"ready"
_numbers = count(1)


def become_worker(threads: int) -> None:
    """Make this process a worker with this number of threads."""
    # Ctrl-C reaches the whole group: only the parent reacts to it, and ends the workers.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    torch.set_num_threads(threads)
    # NumPy's and SciPy's own threads would fight over the cores with the other workers.
    threadpool_limits(threads)
    # Progress bars of several processes would overwrite each other: the parent shows one.
    os.environ["TQDM_DISABLE"] = "1"
    # Bars need no lock between processes either; an interrupted process would leave it behind.
    tqdm.set_lock(threading.RLock())


def run_job(function: Callable[..., Result], job: Job, shared: tuple[Any, ...]) -> Result:
    """Run a job in a worker; end the process if its accelerator is lost.

    After a failed assertion or a bad address on an accelerator, every further call of the process
    fails. A new process works again; only a job that loses its accelerator twice fails.
    """
    try:
        return function(job, *shared)
    except torch.AcceleratorError:
        traceback.print_exc()
        os._exit(LOST_ACCELERATOR)


class Worker(Generic[Job, Result]):
    """A new process, and the connection to it.

    Args:
        function: Runs a job: `function(job, *shared)`. Its module, and the modules that its
            `PRELOAD` names, are imported once for all processes.
        shared: Further arguments, the same for all jobs; sent once.
        threads: Number of torch threads.
    """

    def __init__(
        self, function: Callable[..., Result], shared: tuple[Any, ...], threads: int
    ) -> None:
        context: ForkServerContext | SpawnContext = multiprocessing.get_context("spawn")
        if sys.platform == "linux":
            # The process is forked from a server that has imported what jobs need. That is safe,
            # and the default of Python from 3.14 on.
            context = multiprocessing.get_context("forkserver")
            module = sys.modules[function.__module__]
            context.set_forkserver_preload([module.__name__, *getattr(module, "PRELOAD", ())])
        self.line, far_end = context.Pipe()
        """It has something to read when a job has ended."""
        self._begun, said = context.Pipe(duplex=False)
        """It has something to read once the process is ready for jobs."""
        # The user's files are loaded before anything that may need them.
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
        """Objects to wait for: one of them is ready when a job or the process has ended."""
        # The line alone is not enough, because a process that a job has started holds it open too.
        return self.line, self._process.sentinel

    def give(self, job: Job) -> None:
        """Send a job to the process."""
        self._send(job)

    def result(self) -> Result:
        """Wait for the end of the job and return its result; raise what it raised.

        Raises:
            WorkerDied: The process ended before the job.
            InputError: The process ended at its start; another one would too.
        """
        try:
            if self.line not in wait(self.ends) and not self.line.poll():
                raise EOFError
            result, error = self.line.recv()
        except (EOFError, OSError):
            raise self._death_error() from None
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def _death_error(self) -> Exception:
        """Return the error for a process that has ended."""
        # Ask first whether it has begun: after closing, nothing can be read.
        has_begun = self._has_begun()
        self.stop()
        code = self._process.exitcode
        # A process that a signal has ended, for example for lack of memory, may start next time.
        if has_begun or code is None or code < 0:
            return WorkerDied(_describe_death(code))
        return failed_start_error(code)

    def _has_begun(self) -> bool:
        with contextlib.suppress(EOFError, OSError):
            return self._begun.poll() and self._begun.recv_bytes() == READY
        return False

    def stop(self) -> None:
        """End the process at once."""
        self._process.kill()
        self.dismiss()

    def dismiss(self) -> None:
        """Let an idle process end, and wait; end it at once if jobs have left threads in it."""
        self.line.close()
        self._begun.close()
        self._process.join(FAREWELL)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _send(self, message: object) -> None:
        # If the process has died, reading its result will report it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.line.send(message)


def _describe_death(code: int | None) -> str:
    """Describe why a process ended."""
    if code == 1:
        return "its process was ended, as happens if a single call exceeds the time limit"
    if code == LOST_ACCELERATOR:
        return "its process ended because of an error of its accelerator"
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    more = ", as the system does if memory runs out" if -code == signal.SIGKILL else ""
    return f"its process was ended by {name}{more}"


def _serve(_code: CarriedCode, threads: int, line: Connection, begun: Connection) -> None:
    """Run the jobs that come along the line until its other end is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    become_worker(threads)
    with contextlib.suppress(EOFError, ConnectionError):
        try:
            function, shared = line.recv()
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # unpickling may raise anything
            line.send((None, unreadable_start_error(error)))
            return
        begun.send_bytes(READY)
        begun.close()
        while True:
            _send_result(line, *_run_next(line, function, shared))
            release_freed_memory()


def _end_with_parent() -> None:
    """End this process as soon as its parent process has ended.

    A program that is killed cannot end its workers, which would continue their jobs for minutes in
    vain.
    """
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _run_next(
    line: Connection, function: Callable[..., Result], shared: tuple[Any, ...]
) -> tuple[Result | None, BaseException | None]:
    """Run the next job; return its result, or its error."""
    try:
        job = line.recv()
    except (EOFError, ConnectionResetError):
        raise
    except Exception as error:  # unpickling a job may raise anything
        return None, error
    try:
        return run_job(function, job, shared), None
    except BaseException as error:  # the caller handles it
        error.add_note("".join(traceback.format_exception(error)))
        return None, error


def _send_result(line: Connection, result: object, error: BaseException | None) -> None:
    try:
        line.send((result, error))
    except (ConnectionResetError, BrokenPipeError):
        raise
    except Exception as reason:  # pickling a result may raise anything
        cause = error or reason
        message = f"the result of a job cannot be sent: {type(cause).__name__}: {cause}"
        line.send((None, RuntimeError(message)))
