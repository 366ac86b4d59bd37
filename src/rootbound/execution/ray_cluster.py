"""Jobs on the machines of a Ray cluster, https://docs.ray.io: one remote task each."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import socket
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from rootbound.core.errors import InputError, take_first_line
from rootbound.core.memory import release_freed_memory
from rootbound.core.user_code import list_loaded_code
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
from rootbound.execution.worker import become_worker, run_job

RETRIES = 2
"""How often a task that was lost with its machine or process is run again beside others."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TQDM_PATCH_PRINT": "0",
    "RAY_worker_niceness": "0",
}
"""These settings turn off Ray's telemetry, its warnings about its own future, and its capture of
`print`. Jobs of a cluster that is started here keep this process's priority; Ray would lower it by
15."""


@dataclass(frozen=True)
class RayCluster(Engine):
    """A running cluster: it runs as many jobs at once as it has CPUs for their threads.

    On accelerators each job has one to itself.

    Args:
        address: `HOST:PORT` of its head; `auto` for the cluster that this machine belongs to;
            `local` to start one on this machine alone, and end it afterwards.
        patience: Seconds beyond its limit after which a hung trial's process is ended.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """

    address: str = "auto"
    patience: float | None = 60.0

    @property
    def together(self) -> int:
        """As many as this machine has CPUs for; other machines are not known yet."""
        return max(1, (os.cpu_count() or 1) // self.threads)

    @contextlib.contextmanager
    def open(
        self,
        function: Callable[..., Result],
        shared: tuple[Any, ...],
        on_death: OnDeath[Any, Result] = give_up,
    ) -> Iterator[Crew[Any, Result]]:
        """Connect unless the program is connected already; cancel unfinished jobs at the end."""
        ray = _import_ray()
        connects = not ray.is_initialized()
        if connects:
            _connect(ray, self.address)
        needs = {"CPU": self.threads, **({"GPU": 1} if self.device == "cuda" else {})}
        try:
            crew: _Cluster[Any, Result] = _Cluster(
                function, shared, on_death, threads=self.threads, ray=ray, needs=needs
            )
            try:
                yield crew
            finally:
                # Some are still working if a job failed or the caller stopped early.
                crew.cancel()
        finally:
            if connects:
                ray.shutdown()


@dataclass(eq=False, kw_only=True)
class _Cluster(Crew[Job, Result]):
    """Tasks of a cluster.

    Args:
        ray: The library.
        needs: The resources of the cluster that a job takes, by Ray's names.
    """

    ray: Any
    needs: Mapping[str, int]
    _pending: dict[Any, tuple[Job, int]] = field(default_factory=dict, init=False)
    """The running jobs, and how often each was lost."""

    def __post_init__(self) -> None:
        ray, needs = self.ray, self.needs
        for module in list_loaded_code():
            # Other machines may not have the user's files.
            ray.cloudpickle.register_pickle_by_value(module)
        available = ray.cluster_resources()
        self.workers = min(int(available.get(name, 0)) // count for name, count in needs.items())
        if not self.workers:
            raise InputError(
                " and ".join(f"{count} {name}" for name, count in needs.items())
                + " in the cluster",
                ", ".join(f"{available.get(name, 0):g} {name}" for name in needs),
                "add machines to it",
            )
        # Ray itself must not retry, because the job may be what kills its process.
        task = ray.remote(num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0), max_retries=0)
        self._task = task(_run_remotely)
        self._shared = ray.put(self.shared)
        # The cluster keeps a model for as long as this process refers to it.
        self._models: weakref.WeakKeyDictionary[nn.Module, Any] = weakref.WeakKeyDictionary()

    def _finish_submitted(self) -> Iterator[tuple[Job, Result]]:
        while self._pending or self._waiting:
            while self._waiting:
                job = self._waiting.popleft()
                self._pending[self._start(job)] = job, 0
            done = self._wait(list(self._pending))
            job, losses = self._pending.pop(done)
            try:
                result = self._get(done)
            except WorkerDied:
                if losses < RETRIES:
                    self._pending[self._start(job)] = job, losses + 1
                else:
                    self._suspects.append(job)
                continue
            yield job, result

    def _run_alone(self, job: Job) -> Result:
        reference = self._start(job)
        self._pending[reference] = job, 0
        self._wait([reference])
        del self._pending[reference]
        return self._get(reference)

    def _wait(self, references: list[Any]) -> Any:
        """Wait, and return the reference to a finished task."""
        done, _ = self.ray.wait(references, timeout=self.seconds_left(), fetch_local=False)
        if not done:
            raise TimeOver
        return done[0]

    def cancel(self) -> None:
        """Cancel running tasks, and start no more."""
        for reference in self._pending:
            self.ray.cancel(reference, force=True)

    def _start(self, job: Job) -> Any:
        """Return the reference to a new task.

        The job is sent with numbers instead of its models: many jobs share a model, which is sent
        once.
        """
        models: dict[nn.Module, int] = {}

        def number(value: object) -> int | None:
            if not isinstance(value, nn.Module):
                return None
            if value not in self._models:
                self._models[value] = self.ray.put(value)
            return models.setdefault(value, len(models))

        buffer = io.BytesIO()
        pickler = self.ray.cloudpickle.CloudPickler(buffer)
        pickler.persistent_id = number
        pickler.dump(job)
        references = [self._models[model] for model in models]
        return self._task.remote(
            self.function,
            self.threads,
            _describe_versions(),
            [self._shared],
            buffer.getvalue(),
            references,
        )

    def _get(self, reference: Any) -> Result:
        errors = self.ray.exceptions
        try:
            return self.ray.get(reference)  # type: ignore[no-any-return]
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayError as error:
            raise WorkerDied(take_first_line(error)) from None


_shared_arguments: dict[str, tuple[Any, ...]] = {}
"""The shared arguments of a run's jobs, in a process of the cluster."""


def _run_remotely(
    function: Callable[..., Result],
    threads: int,
    versions: str,
    shared: list[Any],
    job: bytes,
    models: list[Any],
) -> Result:
    """Run a job in a process of the cluster."""
    ray = _import_ray()
    if versions != _describe_versions():
        raise InputError(
            f"{versions} on every machine", _describe_versions(), "install the same there"
        )
    run = shared[0].hex()
    if run not in _shared_arguments:
        become_worker(threads)
        _shared_arguments.clear()
        _shared_arguments[run] = ray.get(shared[0])
    unpickler = pickle.Unpickler(io.BytesIO(job))
    unpickler.persistent_load = ray.get(models).__getitem__  # type: ignore[method-assign]
    try:
        return run_job(function, unpickler.load(), _shared_arguments[run])
    finally:
        release_freed_memory()


def _describe_versions() -> str:
    """Return the versions that must be the same on every machine."""
    return f"rootbound {version('rootbound')} with torch {torch.__version__.partition('+')[0]}"


def _import_ray() -> Any:
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        raise InputError(
            "the library Ray, to run on a cluster", "none installed", "pip install 'rootbound[ray]'"
        ) from None
    return ray


def _connect(ray: Any, address: str) -> None:
    own = {"include_dashboard": False} if address == "local" else {}
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdecimal():
            # If nothing listens there, Ray would keep trying for minutes.
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError, OverflowError) as error:
        raise InputError(
            f"a Ray cluster at {address!r}",
            take_first_line(error),
            "start one with `ray start --head`",
        ) from None
