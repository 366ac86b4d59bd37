"""Jobs in several processes of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from rootbound.core.fields import PositiveInt
from rootbound.execution.engine import (
    Crew,
    Engine,
    Job,
    OnDeath,
    Result,
    TimeOver,
    WorkerDied,
    give_up,
)
from rootbound.execution.program import end_unguarded_worker
from rootbound.execution.worker import Worker


@dataclass(frozen=True)
class Pool(Engine):
    """New processes on this machine.

    A process that dies affects only its own job. With `concurrent.futures` the whole pool would
    break, and would not say which job was responsible.

    Args:
        workers: Number of processes.
        patience: Seconds beyond its limit after which a hung trial's process is ended.
    """

    workers: PositiveInt
    patience: float | None = 60.0

    @property
    def together(self) -> int:
        """The number of processes."""
        return self.workers

    @contextlib.contextmanager
    def open(
        self,
        function: Callable[..., Result],
        shared: tuple[Any, ...],
        on_death: OnDeath[Any, Result] = give_up,
    ) -> Iterator[Crew[Any, Result]]:
        """Start processes as they are needed, and end them."""
        end_unguarded_worker()
        crew: _Processes[Any, Result] = _Processes(
            function, shared, on_death, self.workers, self.threads
        )
        try:
            yield crew
        finally:
            # Some are still working if a job failed or the caller stopped early.
            crew.end()


@dataclass(eq=False)
class _Processes(Crew[Job, Result]):
    _idle: list[Worker[Job, Result]] = field(default_factory=list, init=False)
    _busy: dict[Worker[Job, Result], Job] = field(default_factory=dict, init=False)

    def _finish_submitted(self) -> Iterator[tuple[Job, Result]]:
        self._hand_out()
        while self._busy:
            workers = {end: worker for worker in self._busy for end in worker.ends}
            ready = wait(list(workers), self.seconds_left())
            for worker in dict.fromkeys(workers[end] for end in ready):  # type: ignore[index]
                job = self._busy[worker]
                try:
                    result = self._take_result(worker)
                except WorkerDied:
                    self._suspects.append(job)
                    continue
                # Hand out before the caller handles the result, so that no worker has to wait.
                self._hand_out()
                yield job, result
            self._hand_out()
        if self._suspects:
            self.end()  # idle processes use memory that the job may have lacked

    def _run_alone(self, job: Job) -> Result:
        self._give(self._idle.pop() if self._idle else self._start_worker(), job)
        (worker,) = self._busy
        if not wait(worker.ends, self.seconds_left()):
            raise TimeOver
        return self._take_result(worker)

    def end(self) -> None:
        """End all processes."""
        for worker in self._busy:
            worker.stop()
        for worker in self._idle:
            worker.dismiss()
        self._busy, self._idle = {}, []

    def _start_worker(self) -> Worker[Job, Result]:
        return Worker(self.function, self.shared, self.threads)

    def _hand_out(self) -> None:
        free = self.workers - len(self._busy)
        # Start all of them at once, without waiting for one before the next.
        while len(self._idle) < min(free, len(self._waiting)):
            self._idle.append(self._start_worker())
        while self._idle and self._waiting:
            self._give(self._idle.pop(), self._waiting.popleft())

    def _give(self, worker: Worker[Job, Result], job: Job) -> None:
        self._busy[worker] = job
        worker.give(job)

    def _take_result(self, worker: Worker[Job, Result]) -> Result:
        """Wait for a worker's result and mark it as idle; forget a worker that has died."""
        try:
            result = worker.result()
        except WorkerDied:
            del self._busy[worker]
            raise
        del self._busy[worker]
        self._idle.append(worker)
        return result
