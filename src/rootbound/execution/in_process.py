"""Jobs one after another, in this process."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

from rootbound.execution.crew import Crew, Engine, Job, Result, Salvage, no_salvage

Value = TypeVar("Value")


@dataclass(frozen=True)
class InProcess(Engine):
    """This process."""

    @property
    def together(self) -> int:
        """One."""
        return 1

    @contextlib.contextmanager
    def open(
        self,
        function: Callable[..., Value],
        shared: tuple[Any, ...],
        _salvage: Salvage[Any, Value] = no_salvage,
    ) -> Iterator[Crew[Any, Value]]:
        """Set the number of threads, and set it back. What ends this process ends all."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with threadpool_limits(self.threads):
                yield _Alone(function, shared)
        finally:
            torch.set_num_threads(before)


class _Alone(Crew[Job, Result]):
    workers = 1

    def __init__(self, function: Callable[..., Result], shared: tuple[Any, ...]) -> None:
        self._function, self._shared = function, shared
        self._waiting: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def finished(self) -> Iterator[tuple[Job, Result]]:
        while self._waiting:
            job = self._waiting.popleft()
            yield job, self._function(job, *self._shared)
