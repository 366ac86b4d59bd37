"""Runs that are killed (SIGKILL, as by a machine that dies) at random moments, and resumed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path

from faults.small_run import run, timeless
from rootbound.core.errors import InputError
from rootbound.evaluation import jobs
from rootbound.execution import RayCluster
from rootbound.execution.ray_cluster import SETTINGS
from rootbound.records import Evaluation
from rootbound.records.evaluation import PARTS

LONGEST = 200.0
"""Seconds that no run takes, on any machine."""


@dataclass(frozen=True)
class Engine:
    """A way to run: one more of them is one more row.

    Args:
        name: for the page of results.
        open: gives, for the length of a test, what does the run in a folder, or what is missing of
            it; called in a new process.
    """

    name: str
    open: Callable[[], AbstractContextManager[Callable[[Path], object]]]


def in_pool(folder: Path) -> None:
    """Run in two worker processes."""
    run(folder, workers=2)


def on_cluster(folder: Path, address: str) -> None:
    """Run on a Ray cluster."""
    run(folder, workers=RayCluster(address))


@contextlib.contextmanager
def _cluster() -> Iterator[Callable[[Path], object]]:
    """Start a cluster, which outlives the runs that are killed."""
    os.environ |= SETTINGS
    from ray.cluster_utils import Cluster  # noqa: PLC0415  # an extra

    node = {"num_cpus": 2, "object_store_memory": 200 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        yield partial(on_cluster, address=cluster.address)
    finally:
        cluster.shutdown()


ENGINES = (
    Engine("in process", lambda: contextlib.nullcontext(run)),
    Engine("pool of 2", lambda: contextlib.nullcontext(in_pool)),
    Engine("Ray, 2 CPUs", _cluster),
)


@dataclass
class Tally:
    """What was seen."""

    kills: int = 0
    runs: int = 0
    lost: int = 0
    doubled: int = 0
    unequal: int = 0
    unreadable: int = 0
    pieces: list[int] = field(default_factory=list)
    """Finished pieces of work at each kill."""


def torture(engine: Engine, root: Path, kills: int, seed: int = 0) -> Tally:
    """Kill runs until there were so many kills; resume each until it is complete.

    Args:
        engine: how runs are run.
        root: an empty folder.
        kills: how many.
        seed: of the moments.
    """
    with engine.open() as function:
        return _tortured(function, root, kills, random.Random(seed))


def _tortured(
    function: Callable[[Path], object], root: Path, kills: int, moments: random.Random
) -> Tally:
    tally = Tally()
    # The first process waits for what all others find loaded: no measure of a run.
    wait_for(start(_nothing, root))
    started = time.monotonic()
    wait_for(start(function, root / "undisturbed"))
    whole, seconds = Evaluation.load(root / "undisturbed"), time.monotonic() - started
    while tally.kills < kills:
        folder = root / str(tally.runs)
        while not _ended(function, folder, moments.uniform(0.1, seconds), tally):
            _look(folder, whole, tally)
            if tally.kills >= kills:
                wait_for(start(function, folder))
                break
        _compare(Evaluation.load(folder), whole, tally)
        tally.runs += 1
    return tally


def start(function: Callable[[Path], object], folder: Path) -> multiprocessing.Process:
    """Start a run in a process that has no part of this one's state, and torch loaded already."""
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    # Of what is installed: the server does not look where this process does.
    context.set_forkserver_preload([jobs.__name__, "rootbound.methods", *jobs.PRELOAD])
    process = context.Process(target=function, args=(folder,))
    process.start()
    return process  # type: ignore[return-value]


def wait_for(process: multiprocessing.Process) -> None:
    """Wait for a process; end one that hangs.

    Raises:
        AssertionError: It hung.
    """
    process.join(LONGEST)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"a run was not over after {LONGEST:g} s")


def _nothing(_: Path) -> None:
    """Load what a run needs."""


def _ended(function: Callable[[Path], object], folder: Path, seconds: float, tally: Tally) -> bool:
    """Run for so long, then kill; return whether the run came to its end before."""
    process = start(function, folder)
    process.join(seconds)
    if process.is_alive():
        # It may end by itself between the two lines; kill() allows for that, os.kill() does not.
        process.kill()
        wait_for(process)
    if process.exitcode == -signal.SIGKILL:
        tally.kills += 1
        return False
    assert process.exitcode == 0, f"ended with {process.exitcode}"
    return True


def _look(folder: Path, whole: Evaluation, tally: Tally) -> None:
    """Read what a kill has left: it must be readable, and records of the whole run."""
    pieces = [path for path in folder.glob(f"{PARTS}/*.json") if path.stem != "run"]
    tally.pieces.append(len(pieces))
    if not (folder / PARTS / "run.json").exists():
        return
    try:
        left = timeless(Evaluation.load(folder))
    except InputError:
        tally.unreadable += 1
        return
    known = timeless(whole)
    tally.unequal += sum(one not in known for one in left)


def _compare(found: Evaluation, whole: Evaluation, tally: Tally) -> None:
    keys, wanted = [one.key for one in found.records], [one.key for one in whole.records]
    tally.doubled += len(keys) - len(set(keys))
    tally.lost += len(set(wanted) - set(keys)) + (not found.complete)
    tally.unequal += timeless(found) != timeless(whole)
