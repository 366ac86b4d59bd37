"""Jobs in several processes of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import multiprocessing

from rootbound.evaluation.workers.crew import Crew, Engine, Job, Result
from rootbound.evaluation.workers.process import settle_in
from rootbound.memory import release_freed_memory
from rootbound.user_code import CarriedCode

Value = TypeVar("Value")

_shared: tuple[Any, ...] = ()
"""What every job of this worker process needs; sent once, not with every job."""


@dataclass(frozen=True)
class Pool(Engine):
    """Processes of this machine, started afresh.

    Args:
        workers: how many.
    """

    workers: int

    @property
    def together(self) -> int:
        """As many as there are processes."""
        return self.workers

    @contextlib.contextmanager
    def open(
        self, function: Callable[..., Value], shared: tuple[Any, ...]
    ) -> Iterator[Crew[Any, Value]]:
        """Start the processes, and end them."""
        others = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(
            max_workers=self.workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(CarriedCode(), shared, self.threads),
        )
        try:
            yield _Processes(pool, function, self.workers)
        except BaseException:
            # A job failed, the caller stopped early or was interrupted: nobody waits for the rest.
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Processes(Crew[Job, Result]):
    def __init__(
        self, pool: ProcessPoolExecutor, function: Callable[..., Result], workers: int
    ) -> None:
        self._pool, self._function, self.workers = pool, function, workers
        self._pending: dict[Future[Result], Job] = {}

    def submit(self, job: Job) -> None:
        self._pending[self._pool.submit(_run, self._function, job)] = job

    def finished(self) -> Iterator[tuple[Job, Result]]:
        while self._pending:
            done, _ = wait(self._pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield self._pending.pop(future), future.result()


def _start(_code: CarriedCode, shared: tuple[Any, ...], threads: int) -> None:
    global _shared  # noqa: PLW0603  # a worker process has no other place for it
    _shared = shared
    settle_in(threads)


def _run(function: Callable[..., Result], job: Job) -> Result:
    try:
        return function(job, *_shared)
    finally:
        release_freed_memory()
