"""Jobs on a real Ray cluster of two node processes, of which one is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import rootbound as rb
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.evaluation import compare
from rootbound.execution import Crew, RayCluster, WorkerDied
from rootbound.execution.engine import OnDeath, give_up
from rootbound.methods import BestResponse, Plain, Schedule
from rootbound.suites import Suite
from rootbound.training import Recipe
from timeless import timeless

ray: Any = pytest.importorskip("ray", reason="the extra is not installed")
cluster_utils: Any = pytest.importorskip("ray.cluster_utils")

pytestmark = pytest.mark.slow
SMALL = {"num_cpus": 1, "object_store_memory": 200 << 20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Start a head and one more node; stay connected, so that no process starts twice."""
    with pytest.MonkeyPatch.context() as patch:
        # As on other machines, where tests and package are installed for the workers to find.
        found = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        patch.setenv("PYTHONPATH", os.pathsep.join(found))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        started = cluster_utils.Cluster(initialize_head=True, head_node_args=SMALL)
        started.add_node(**SMALL)
        try:
            with RayCluster(started.address).open(work, (0,)):
                yield started
            assert not ray.is_initialized()
        finally:
            started.shutdown()


def work(job: int, offset: int) -> tuple[int, int]:
    if job < 0:
        raise InputError("a good job", "a bad one", "mend it")
    return job + offset, torch.get_num_threads()


def test_missing_cluster_is_a_one_line_error() -> None:
    with (
        pytest.raises(InputError, match=r"a Ray cluster at .*`ray start --head`"),
        RayCluster("127.0.0.1:1").open(work, (0,)),
    ):
        pass


def test_every_job_is_done(cluster: Any) -> None:
    found: dict[int, tuple[int, int]] = {}
    with RayCluster(cluster.address).open(work, (10,)) as crew:
        assert crew.workers == 2
        crew.submit(0, 1, 2)
        for job, result in crew.finished():
            found[job] = result
            if job < 100:
                crew.submit(job + 100)
    assert found == {job: (job + 10, 1) for job in (0, 1, 2, 100, 101, 102)}


def test_failure_reaches_the_caller(cluster: Any) -> None:
    with (
        pytest.raises(InputError, match="expected a good job; got a bad one; mend it"),
        RayCluster(cluster.address).open(work, (0,)) as crew,
    ):
        crew.submit(-1, 1)
        list(crew.finished())


def deadly(job: int, offset: int) -> int:
    """Kill the process of job 1, whenever it is tried."""
    if job == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return job + offset


def test_leaves_repeated_process_deaths_to_the_caller(cluster: Any) -> None:
    def run_another(job: int, _: WorkerDied, run_alone: Callable[[int], int]) -> int:
        assert job == 1
        return -run_alone(9)

    with RayCluster(cluster.address).open(deadly, (10,), run_another) as crew:
        crew.submit(0, 1, 2)
        found = dict(crew.finished())
    assert found == {0: 10, 2: 12, 1: -19}
    assert list(found)[-1] == 1


@dataclass(frozen=True)
class Unlucky(RayCluster):
    """Loses a machine after so many jobs, with all that runs there."""

    lose: Callable[[], None] = lambda: None
    after: int = 4

    @contextlib.contextmanager
    def open(
        self,
        function: Callable[..., Any],
        shared: tuple[Any, ...],
        on_death: OnDeath[Any, Any] = give_up,
    ) -> Iterator[Crew[Any, Any]]:
        with super().open(function, shared, on_death) as crew:
            finished = crew.finished

            def watched() -> Iterator[tuple[Any, Any]]:
                for count, done in enumerate(finished(), 1):
                    yield done
                    if count == self.after:
                        self.lose()

            crew.finished = watched  # type: ignore[method-assign]
            yield crew


def _alive() -> int:
    return [node["Alive"] for node in ray.nodes()].count(True)


def test_lost_machine_loses_no_work(cluster: Any, toy_tasks: TaskPair, toy_suite: Suite) -> None:
    """The records are those of one process, byte for byte."""
    fast, schedule = Recipe(epochs=1, batch_size=30), Schedule(finishing_steps=5)
    model = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
    (other,) = cluster.worker_nodes

    def found(workers: int | RayCluster) -> list[str]:
        evaluation = compare(
            (Plain(fast), BestResponse(fast, schedule=schedule)), toy_tasks, model,
            suite=toy_suite, seeds=1, workers=workers,
        )  # fmt: skip
        return timeless(evaluation)

    engine = Unlucky(cluster.address, lose=lambda: cluster.remove_node(other, allow_graceful=False))
    assert found(engine) == found(1)
    # The cluster may learn of it after the last job.
    until = time.monotonic() + 60
    while (
        len(alive := [one for one in ray.nodes() if one["Alive"]]) > 1 and time.monotonic() < until
    ):
        time.sleep(0.2)
    assert len(alive) == 1
