"""The base class of engines, which run jobs; and the simplest engine, this process."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from threadpoolctl import threadpool_limits

from rootbound.core.alarm import raise_after
from rootbound.core.fields import PositiveInt, check

Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerDied(RuntimeError):
    """The process that ran a job ended before the job did: it crashed, hung, or was killed."""


class TimeOver(BaseException):
    """The time of a crew is over. A job that catches every `Exception` does not catch this one."""


OnDeath = Callable[[Job, WorkerDied, Callable[[Job], Result]], Result]
"""A function that handles a job whose process died again although it ran alone.

It takes the job, the error, and a function that runs a job (such as a part of this one) in a
process of its own and may raise `WorkerDied`. It returns a result for the job, or raises an error.
"""


def give_up(job: Job, death: WorkerDied, _: Callable[[Job], Result]) -> Result:
    """Raise `WorkerDied`, naming the job."""
    raise WorkerDied(f"{job} cannot be done: {death}")


@dataclass(eq=False)
class Crew(ABC, Generic[Job, Result]):
    """Runs jobs, all with one function.

    Args:
        function: Runs a job: `function(job, *shared)`.
        shared: Further arguments, the same for all jobs.
        on_death: Handles a job that kills its process.
        workers: How many jobs run at the same time.
        threads: Number of torch threads of each.
        until: When the time is over, by the clock of `time.monotonic`; None means never.
    """

    function: Callable[..., Result]
    shared: tuple[Any, ...]
    on_death: OnDeath[Job, Result] = give_up
    workers: int = 1
    threads: int = 1
    until: float | None = None
    _waiting: deque[Job] = field(default_factory=deque, init=False)
    _suspects: deque[Job] = field(default_factory=deque, init=False)
    """Jobs whose process died: they run again when all others are done."""

    def submit(self, *jobs: Job) -> None:
        """Add jobs to run; those submitted first start first."""
        self._waiting += jobs

    @abstractmethod
    def _finish_submitted(self) -> Iterator[tuple[Job, Result]]:
        """Yield jobs with their results until only suspects are left; may raise `TimeOver`."""

    @abstractmethod
    def _run_alone(self, job: Job) -> Result:
        """Run one job alone in its own process; may raise `WorkerDied` or `TimeOver`."""

    def seconds_left(self) -> float | None:
        """Return the seconds until the time is over; None if there is no limit.

        Raises:
            TimeOver: The time is over.
        """
        if self.until is None:
            return None
        left = self.until - time.monotonic()
        if left <= 0.0:
            raise TimeOver
        return left

    def finished(self) -> Iterator[tuple[Job, Result]]:
        """Yield jobs with their results as they end, until none is left.

        More jobs may be submitted meanwhile. Errors of jobs are raised here. A job whose process
        dies runs again when all others are done, in a process of its own. When the time is over,
        nothing more is yielded, and running jobs end with the crew.
        """
        with contextlib.suppress(TimeOver):
            yield from self._finish_all()

    def _finish_all(self) -> Iterator[tuple[Job, Result]]:
        while True:
            yield from self._finish_submitted()
            if not self._suspects:
                return
            suspect = self._suspects.popleft()
            try:
                result = self._run_alone(suspect)
            except WorkerDied as death:
                result = self.on_death(suspect, death, self._run_alone)
            yield suspect, result


@dataclass(frozen=True, kw_only=True)
class Engine(ABC):
    """Where jobs run. Subclasses are frozen dataclasses.

    A job has the same result on every engine with the same number of torch threads, on the same
    kind of machine and device.

    Args:
        threads: Number of torch threads of each job.
        device: The device for its tensors: `cpu`, `cuda`, `mps`, or `auto`.

    Raises:
        InputError: A number is below 1.
    """

    threads: PositiveInt = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        check(self)

    @property
    @abstractmethod
    def together(self) -> int:
        """How many jobs share the memory of one machine."""

    @property
    def patience(self) -> float | None:
        """Seconds beyond its limit after which a hung trial's process is ended; None means never.

        It is never for jobs that run in the caller's own process.
        """
        return None

    @abstractmethod
    def open(
        self,
        function: Callable[..., Result],
        shared: tuple[Any, ...],
        on_death: OnDeath[Any, Result] = give_up,
    ) -> AbstractContextManager[Crew[Any, Result]]:
        """Return a crew that calls `function(job, *shared)`; left by an exception, it stops.

        Args:
            function: A function of a module's top level, so that other processes can import it.
            shared: Further arguments, the same for all jobs; sent once.
            on_death: Handles a job that kills its process.
        """


@dataclass(frozen=True)
class InProcess(Engine):
    """This process: one job after the other."""

    @property
    def together(self) -> int:
        """One."""
        return 1

    @contextlib.contextmanager
    def open(
        self,
        function: Callable[..., Result],
        shared: tuple[Any, ...],
        on_death: OnDeath[Any, Result] = give_up,
    ) -> Iterator[Crew[Any, Result]]:
        """Set the number of threads, and restore it. A job that ends this process ends the run."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with threadpool_limits(self.threads):
                yield _OneAfterTheOther(function, shared)
        finally:
            torch.set_num_threads(before)


class _OneAfterTheOther(Crew[Job, Result]):
    def _finish_submitted(self) -> Iterator[tuple[Job, Result]]:
        while self._waiting:
            job = self._waiting.popleft()
            yield job, self._run_alone(job)

    def _run_alone(self, job: Job) -> Result:
        left = self.seconds_left()
        if left is None:
            return self.function(job, *self.shared)
        with raise_after(left, TimeOver()):
            return self.function(job, *self.shared)
