"""Running independent jobs, in this process or in several."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits
from torch import multiprocessing
from tqdm import tqdm

from rootbound.memory import keep_freed_memory, release_freed_memory

Job = TypeVar("Job")
Result = TypeVar("Result")

_shared: tuple[Any, ...] = ()
"""What every job of this worker process needs; sent once, not with every job."""


def run_all(
    function: Callable[..., Result],
    jobs: Sequence[Job],
    shared: tuple[Any, ...],
    *,
    follow: Callable[[Job, Result], Sequence[Job]],
    workers: int,
    threads: int = 1,
) -> Iterator[Job]:
    """Run `function(job, *shared)` for every job, and for those that its results give rise to.

    Yields each job when it is done.

    Args:
        function: of a module's top level, so that it can be sent to other processes.
        jobs: in the order in which they shall start.
        shared: further arguments, the same for all jobs.
        follow: takes a job and its result, in this process, and returns what is to follow.
        workers: processes; with one, everything happens in this one.
        threads: torch threads each; one gives the same numbers for any number of workers.
    """
    if workers == 1:
        waiting = deque(jobs)
        with _threads(threads):
            while waiting:
                job = waiting.popleft()
                waiting.extend(follow(job, function(job, *shared)))
                yield job
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        max_workers=workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(shared, threads),
    )
    try:
        pending = {pool.submit(_run, function, job): job for job in jobs}
        while pending:
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                job = pending.pop(future)
                for next_job in follow(job, future.result()):
                    pending[pool.submit(_run, function, next_job)] = next_job
                yield job
    except BaseException:
        # A job failed, the caller stopped early or was interrupted: nobody waits for the rest.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(shared: tuple[Any, ...], threads: int) -> None:
    global _shared  # noqa: PLW0603  # a worker process has no other place for it
    _shared = shared
    # Ctrl-C reaches the whole group: the parent alone answers it, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    torch.set_num_threads(threads)
    # NumPy's and SciPy's own threads would fight over the cores with the other workers.
    threadpool_limits(threads)
    # Progress bars of several processes would overwrite each other: the parent shows one.
    os.environ["TQDM_DISABLE"] = "1"
    # Nor do they need a lock between processes, which an interrupted one would leave behind.
    tqdm.set_lock(threading.RLock())


def _run(function: Callable[..., Result], job: Job) -> Result:
    try:
        return function(job, *_shared)
    finally:
        release_freed_memory()


@contextlib.contextmanager
def _threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
