"""What every engine is: a place where jobs are done, whoever does them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerDied(RuntimeError):
    """The process that did a job ended before the job did: killed, crashed, or hung and ended."""


Salvage = Callable[[Job, WorkerDied, Callable[[Job], Result]], Result]
"""What becomes of a job whose process died again when nothing else was done beside it.

Takes the job, how its process died, and a function that does a part of it in a process of its own
and raises `WorkerDied`; returns what can be had, or raises.
"""


def no_salvage(job: Job, death: WorkerDied, _: Callable[[Job], Result]) -> Result:
    """Give up.

    Raises:
        WorkerDied: always.
    """
    raise WorkerDied(f"{job} cannot be done: {death}")


class Crew(ABC, Generic[Job, Result]):
    """Does jobs, all with one function."""

    workers: int
    """How many jobs are done at the same time."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Have a job done; those submitted first start first."""

    @abstractmethod
    def finished(self) -> Iterator[tuple[Job, Result]]:
        """Yield jobs with their results as they end, until none is left.

        Jobs may be submitted meanwhile. What a job raises is raised here. One whose process
        dies is done again when all others are, in a process of its own.
        """

    def run(
        self, jobs: Sequence[Job], follow: Callable[[Job, Result], Sequence[Job]]
    ) -> Iterator[Job]:
        """Do every job, and those that its result gives rise to; yield each when it is done.

        Args:
            jobs: in the order in which they shall start.
            follow: takes a job and its result, in this process, and returns what is to follow.
        """
        for job in jobs:
            self.submit(job)
        for job, result in self.finished():
            for following in follow(job, result):
                self.submit(following)
            yield job


@dataclass(frozen=True, kw_only=True)
class Engine(ABC):
    """Where jobs are done. Subclasses are frozen dataclasses.

    Whichever it is, a job finds the same numbers as long as it has the same number of torch
    threads on the same kind of machine and device.

    Args:
        threads: torch threads of each job.
        device: for its tensors: `cpu`, `cuda`, `mps`, or `auto`.
    """

    threads: int = 1
    device: str = "cpu"

    @property
    @abstractmethod
    def together(self) -> int:
        """How many jobs share the memory of one machine."""

    @property
    def patience(self) -> float | None:
        """Seconds beyond its limit after which a hung trial's process is ended; None: never.

        Never is for jobs that are done in the caller's own process.
        """
        return None

    @abstractmethod
    def open(
        self,
        function: Callable[..., Result],
        shared: tuple[Any, ...],
        salvage: Salvage[Any, Result] = no_salvage,
    ) -> AbstractContextManager[Crew[Any, Result]]:
        """Return a crew that calls `function(job, *shared)`; left by an exception, it stops.

        Args:
            function: of a module's top level, so that it can be sent to other processes.
            shared: further arguments, the same for all jobs; sent once.
            salvage: of a job that ends the process it is done in.
        """
