"""Jobs on the machines of a Ray cluster, https://docs.ray.io: one remote task each."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import socket
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar

import torch
from torch import nn

from rootbound.core.errors import InputError
from rootbound.core.memory import release_freed_memory
from rootbound.core.user_code import loaded_code
from rootbound.execution.crew import Crew, Engine, Job, Result, Salvage, WorkerDied, no_salvage
from rootbound.execution.process import do, settle_in

Value = TypeVar("Value")

RETRIES = 2
"""How many times a task is done again beside others whose machine or process was lost."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TQDM_PATCH_PRINT": "0",
    "RAY_worker_niceness": "0",
}
"""Nothing is reported to anybody, no warnings of what is to come, nothing done to `print`; and jobs
of a cluster that is started here have this process's priority, where Ray would take 15 off it."""


@dataclass(frozen=True)
class RayCluster(Engine):
    """A cluster that runs: as many jobs at once as it has CPUs for their threads.

    On accelerators each job has one to itself.

    Args:
        address: `HOST:PORT` of its head; `auto` for the one that this machine is part of;
            `local` starts one of this machine alone, and ends it.
        patience: seconds beyond its limit after which a hung trial's process is ended.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """

    address: str = "auto"
    patience: float | None = 60.0

    def _share(self) -> dict[str, int]:
        """Return what a job takes of the cluster, by the cluster's names."""
        return {"CPU": self.threads, **({"GPU": 1} if self.device == "cuda" else {})}

    @property
    def together(self) -> int:
        """As many as this machine has processors for; of the others nothing is known yet."""
        return max(1, (os.cpu_count() or 1) // self.threads)

    @contextlib.contextmanager
    def open(
        self,
        function: Callable[..., Value],
        shared: tuple[Any, ...],
        salvage: Salvage[Any, Value] = no_salvage,
    ) -> Iterator[Crew[Any, Value]]:
        """Connect, unless the program is connected already; and take back what is not done."""
        ray = _library()
        mine = not ray.is_initialized()
        if mine:
            _connect(ray, self.address)
        try:
            crew: _Cluster[Any, Value] = _Cluster(ray, function, shared, self._share(), salvage)
            try:
                yield crew
            except BaseException:
                crew.cancel()
                raise
        finally:
            if mine:
                ray.shutdown()


class _Cluster(Crew[Job, Result]):
    def __init__(
        self,
        ray: Any,
        function: Callable[..., Result],
        shared: tuple[Any, ...],
        share: dict[str, int],
        salvage: Salvage[Job, Result],
    ) -> None:
        self._ray, self._function, self._threads = ray, function, share["CPU"]
        self._salvage = salvage
        for module in loaded_code():
            # Other machines need not have the user's files.
            ray.cloudpickle.register_pickle_by_value(module)
        there = ray.cluster_resources()
        self.workers = min(int(there.get(name, 0)) // count for name, count in share.items())
        if not self.workers:
            raise InputError(
                " and ".join(f"{count} {name}" for name, count in share.items())
                + " in the cluster",
                ", ".join(f"{there.get(name, 0):g} {name}" for name in share),
                "add machines to it",
            )
        # What was lost is done again, but not by Ray: a job may be what kills its process.
        self._task = ray.remote(num_cpus=share["CPU"], num_gpus=share.get("GPU", 0), max_retries=0)(
            _attend
        )
        self._shared = ray.put(shared)
        # For as long as a model is known here the cluster keeps it.
        self._models: weakref.WeakKeyDictionary[nn.Module, Any] = weakref.WeakKeyDictionary()
        self._pending: dict[Any, tuple[Job, int]] = {}
        """What is under way, and how many times each was lost."""
        self._suspects: list[Job] = []

    def submit(self, job: Job) -> None:
        self._submit(job, 0)

    def finished(self) -> Iterator[tuple[Job, Result]]:
        while self._pending or self._suspects:
            if not self._pending:
                suspect = self._suspects.pop(0)
                yield suspect, self._again(suspect)
                continue
            (done, *_), _ = self._ray.wait(list(self._pending), fetch_local=False)
            job, losses = self._pending.pop(done)
            try:
                result = self._result(done)
            except WorkerDied:
                if losses < RETRIES:
                    self._submit(job, losses + 1)
                else:
                    self._suspects.append(job)
                continue
            yield job, result

    def _submit(self, job: Job, losses: int) -> None:
        self._pending[self._begun(job)] = job, losses

    def _begun(self, job: Job) -> Any:
        packed, models = self._packed(job)
        return self._task.remote(
            self._function, self._threads, _versions(), [self._shared], packed, models
        )

    def _again(self, job: Job) -> Result:
        """Do a job once more while nothing else is done; or return what can be had of it."""

        def alone(part: Job) -> Result:
            return self._result(self._begun(part))

        try:
            return alone(job)
        except WorkerDied as death:
            return self._salvage(job, death, alone)

    def cancel(self) -> None:
        """Stop what is running, and start no more."""
        for reference in self._pending:
            self._ray.cancel(reference, force=True)

    def _packed(self, job: Job) -> tuple[bytes, list[Any]]:
        """Return a job with numbers in place of its models, and the models as the cluster has them.

        Many jobs have one model: it is sent once.
        """
        models: dict[nn.Module, int] = {}

        def number(value: object) -> int | None:
            if not isinstance(value, nn.Module):
                return None
            if value not in self._models:
                self._models[value] = self._ray.put(value)
            return models.setdefault(value, len(models))

        buffer = io.BytesIO()
        pickler = self._ray.cloudpickle.CloudPickler(buffer)
        pickler.persistent_id = number
        pickler.dump(job)
        return buffer.getvalue(), [self._models[model] for model in models]

    def _result(self, reference: Any) -> Result:
        errors = self._ray.exceptions
        try:
            found: Result = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayError as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise WorkerDied(reason) from None
        return found


_held: dict[str, tuple[Any, ...]] = {}
"""What every job of a run needs, in a process that works for it."""


def _attend(
    function: Callable[..., Value],
    threads: int,
    versions: str,
    shared: list[Any],
    packed: bytes,
    models: list[Any],
) -> Value:
    """Do a job in a process of the cluster."""
    ray = _library()
    if versions != _versions():
        raise InputError(f"{versions} on every machine", _versions(), "install the same there")
    name = shared[0].hex()
    if name not in _held:
        settle_in(threads)
        _held.clear()
        _held[name] = ray.get(shared[0])
    unpickler = pickle.Unpickler(io.BytesIO(packed))
    unpickler.persistent_load = ray.get(models).__getitem__  # type: ignore[method-assign]
    try:
        return do(function, unpickler.load(), _held[name])
    finally:
        release_freed_memory()


def _versions() -> str:
    """Return what must be the same wherever jobs are done."""
    return f"rootbound {version('rootbound')} with torch {torch.__version__.partition('+')[0]}"


def _library() -> Any:
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
            # Where nothing listens Ray would go on asking for minutes.
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"a Ray cluster at {address!r}", reason, "start one with `ray start --head`"
        ) from None
