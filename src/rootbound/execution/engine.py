"""What every engine is: a place where jobs run. The simplest is this process."""

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
    """The process that ran a job ended before the job did: killed, crashed, or hung and ended."""


class TimeOver(BaseException):
    """The time of a crew is over. No `Exception`: a job that catches those must not catch this."""


OnDeath = Callable[[Job, WorkerDied, Callable[[Job], Result]], Result]
"""What becomes of a job whose process died again though nothing else ran beside it.

Takes the job, how its process died, and a function that runs a job (a part of this one) in a
process of its own and raises `WorkerDied`. Returns what can be had of the job, or raises.
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
        on_death: What becomes of a job that ends its process.
        workers: How many jobs run at the same time.
        threads: Number of torch threads of each.
        until: When the time is over, by the clock of `time.monotonic`; None: never.
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
        """Have jobs run; those submitted first start first."""
        self._waiting += jobs

    @abstractmethod
    def _finish_submitted(self) -> Iterator[tuple[Job, Result]]:
        """Yield jobs with their results until none is left but suspects; raise `TimeOver`."""

    @abstractmethod
    def _run_alone(self, job: Job) -> Result:
        """Run a job in a process of its own, and nothing else; raise `WorkerDied`, `TimeOver`."""

    def seconds_left(self) -> float | None:
        """Return the seconds until the time is over; None where it never is.

        Raises:
            TimeOver: It is.
        """
        if self.until is None:
            return None
        left = self.until - time.monotonic()
        if left <= 0.0:
            raise TimeOver
        return left

    def finished(self) -> Iterator[tuple[Job, Result]]:
        """Yield jobs with their results as they end, until none is left.

        Jobs may be submitted meanwhile. What a job raises is raised here. A job whose process
        dies runs again when all others are done, in a process of its own. When the time is over
        nothing more is yielded, and what is under way ends with the crew.
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

    A job finds the same numbers on every engine, as long as it has the same number of torch
    threads on the same kind of machine and device.

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
        """Seconds beyond its limit after which a hung trial's process is ended; None: never.

        Never is for jobs that run in the caller's own process.
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
            on_death: What becomes of a job that ends its process.
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
        """Set the number of threads, and set it back. What ends this process ends all."""
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
