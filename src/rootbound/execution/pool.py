"""Jobs in several processes of this machine."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from rootbound.execution.crew import Crew, Engine, Job, Result, Salvage, WorkerDied, no_salvage
from rootbound.execution.worker import Worker

Value = TypeVar("Value")


@dataclass(frozen=True)
class Pool(Engine):
    """Processes of this machine, started afresh.

    One that dies takes its job alone with it. `concurrent.futures` would break the whole pool,
    and would not say whose job it was.

    Args:
        workers: how many.
        patience: seconds beyond its limit after which a hung trial's process is ended.
    """

    workers: int
    patience: float | None = 60.0

    @property
    def together(self) -> int:
        """As many as there are processes."""
        return self.workers

    @contextlib.contextmanager
    def open(
        self,
        function: Callable[..., Value],
        shared: tuple[Any, ...],
        salvage: Salvage[Any, Value] = no_salvage,
    ) -> Iterator[Crew[Any, Value]]:
        """Start processes as they are needed, and end them."""
        start = partial(Worker[Any, Value], function, shared, self.threads)
        crew: _Processes[Any, Value] = _Processes(start, self.workers, salvage)
        try:
            yield crew
        finally:
            # Where a job failed, the caller stopped early or was interrupted, some are at work.
            crew.end()


class _Processes(Crew[Job, Result], Generic[Job, Result]):
    def __init__(
        self,
        start: Callable[[], Worker[Job, Result]],
        workers: int,
        salvage: Salvage[Job, Result],
    ) -> None:
        self._start, self.workers, self._salvage = start, workers, salvage
        self._waiting: deque[Job] = deque()
        self._suspects: deque[Job] = deque()
        self._idle: list[Worker[Job, Result]] = []
        self._busy: dict[Worker[Job, Result], Job] = {}

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def finished(self) -> Iterator[tuple[Job, Result]]:
        while self._waiting or self._busy or self._suspects:
            self._hand_out()
            if not self._busy:
                suspect = self._suspects.popleft()
                yield suspect, self._again(suspect)
                continue
            lines = {worker.line: worker for worker in self._busy}
            for line in wait(list(lines)):
                worker = lines[line]  # type: ignore[index]
                try:
                    result = worker.result()
                except WorkerDied:
                    self._suspects.append(self._busy.pop(worker))
                    continue
                job = self._busy.pop(worker)
                self._idle.append(worker)
                # Before anybody looks at the result: nobody waits for that.
                self._hand_out()
                yield job, result

    def end(self) -> None:
        """End all processes."""
        for worker in self._busy:
            worker.stop()
        for worker in self._idle:
            worker.dismiss()
        self._busy, self._idle = {}, []

    def _hand_out(self) -> None:
        free = self.workers - len(self._busy)
        # All of them start at once, and none is waited for before the next is started.
        while len(self._idle) < min(free, len(self._waiting)):
            self._idle.append(self._start())
        while self._idle and self._waiting:
            worker, job = self._idle.pop(), self._waiting.popleft()
            self._busy[worker] = job
            worker.give(job)

    def _again(self, job: Job) -> Result:
        """Do a job once more while nothing else is done; or return what can be had of it."""
        # They hold memory.
        self.end()
        try:
            return self._alone(job)
        except WorkerDied as death:
            return self._salvage(job, death, self._alone)

    def _alone(self, job: Job) -> Result:
        worker = self._idle.pop() if self._idle else self._start()
        self._busy[worker] = job
        worker.give(job)
        try:
            result = worker.result()
        except WorkerDied:
            del self._busy[worker]
            raise
        del self._busy[worker]
        self._idle.append(worker)
        return result
