"""Jobs in several processes: all results, failures passed on, nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path

import pytest
import torch

from rootbound.core.errors import InputError
from rootbound.execution import Engine, InProcess, Pool, WorkerDied, make_engine, worker


def work(job: int, offset: int) -> tuple[int, int, int]:
    if job < 0:
        raise InputError("a good job", "a bad one", "mend it")
    return job + offset, torch.get_num_threads(), os.getpid()


ENGINES = [InProcess(), pytest.param(Pool(2), marks=pytest.mark.slow)]


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_every_job_is_done(engine: Engine) -> None:
    found: dict[int, tuple[int, int, int]] = {}
    with engine.open(work, (10,)) as crew:
        crew.submit(1, 2, 3)
        for job, result in crew.finished():
            found[job] = result
            if job < 100:
                crew.submit(job + 100)
    assert {job: result for job, (result, *_) in found.items()} == {
        job: job + 10 for job in (1, 2, 3, 101, 102, 103)
    }
    assert {threads for _, threads, _ in found.values()} == {1}
    assert (os.getpid() in {process for *_, process in found.values()}) == (crew.workers == 1)


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_failure_reaches_the_caller(engine: Engine) -> None:
    with (
        pytest.raises(InputError, match="expected a good job; got a bad one; mend it"),
        engine.open(work, (0,)) as crew,
    ):
        crew.submit(-1, 1)
        list(crew.finished())


def test_in_process_engine_keeps_order_and_restores_threads() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with InProcess(threads=2).open(work, (10,)) as crew:
            crew.submit(1, 2)
            crew.submit(3)
            assert [job for job, (_, threads, _) in crew.finished() if threads == 2] == [1, 2, 3]
        assert torch.get_num_threads() == 3
        with pytest.raises(InputError), InProcess().open(work, (0,)) as crew:
            crew.submit(-1)
            list(crew.finished())
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_number_of_workers_makes_an_engine() -> None:
    assert [make_engine(one) for one in (1, 2, Pool(3))] == [InProcess(), Pool(2), Pool(3)]
    with pytest.raises(InputError, match="workers of at least 1"):
        make_engine(0)
    with pytest.raises(InputError, match="workers of at least 1; got 0; raise it"):
        Pool(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("send", "number", "code", "word"),
    [
        # As a terminal does it: the interrupt goes to the whole process group.
        (os.killpg, signal.SIGINT, 130, "interrupted"),
        # As `kill` does it, and what schedulers run.
        (os.kill, signal.SIGTERM, 143, "terminated"),
    ],
)
def test_signal_ends_the_run_with_one_line_and_no_process(
    send: Callable[[int, int], None],
    number: int,
    code: int,
    word: str,
    toy_folder: Path,
    tmp_path: Path,
) -> None:
    # A shell starts what it puts in the background with interrupts ignored, and that is inherited.
    heard = ["env", "--default-signal=INT"]
    task = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    task += ["--labels", "5", "--steps", "2000"]
    demo = [sys.executable, "-m", "rootbound", "demo", *task, "--workers", "2", "--out", "run"]
    running = subprocess.Popen(
        [*heard, *demo], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 120
    # The first of many pieces of work is done: both workers are at others.
    while not list(tmp_path.glob("run/records/[0-9a-f]*.json")) and time.monotonic() < until:
        time.sleep(0.1)
    send(running.pid, number)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == code
    *doing, last = errors.splitlines()
    assert last == f"rootbound: {word}; what was finished is on disk"
    assert all(line.startswith("rootbound: demo for ") for line in doing), doing
    assert ends(running.pid)


LONG = """
import time
from rootbound.execution import Pool

if __name__ == "__main__":
    with Pool(2).open(time.sleep, ()) as crew:
        crew.submit(0, 600, 600)
        for _ in crew.finished():
            print("one is done, and the others are being done", flush=True)
"""


@pytest.mark.slow
def test_workers_end_with_a_killed_program(tmp_path: Path) -> None:
    program = tmp_path / "long.py"
    program.write_text(LONG)
    running = subprocess.Popen(
        [sys.executable, program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stdout is not None
    assert wait([running.stdout], timeout=120), "nothing is done"  # type: ignore[list-item]
    assert running.stdout.readline().startswith("one is done")
    running.kill()
    running.communicate(timeout=30)
    assert ends(running.pid)


def leave_a_thread(job: int) -> int:
    threading.Thread(target=time.sleep, args=(600,)).start()
    return job


@pytest.mark.slow
def test_leftover_process_of_a_job_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker.FAREWELL <= 10
    monkeypatch.setattr(worker, "FAREWELL", 1.0)
    started = time.monotonic()
    with Pool(1).open(leave_a_thread, ()) as crew:
        crew.submit(1)
        assert list(crew.finished()) == [(1, 1)]
    assert time.monotonic() - started < 110


def leave_a_process(job: int) -> int:
    """End, while a process that was started here goes on with all that this one had open."""
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
    os._exit(3)


@pytest.mark.slow
def test_leftover_process_of_a_dead_worker_blocks_nobody() -> None:
    started = time.monotonic()
    with Pool(1).open(leave_a_process, ()) as crew:
        crew.submit(1)
        with pytest.raises(WorkerDied, match="exit code 3"):
            list(crew.finished())
    assert time.monotonic() - started < 18


def ends(group: int) -> bool:
    """Return whether soon no process of a group is left."""
    # Python's own tracker of shared memory may need a moment to see that it is alone.
    for _ in range(50):
        if not alive(group):
            return True
        time.sleep(0.1)
    return False


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
