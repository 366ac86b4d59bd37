"""Jobs in several processes: all results, failures passed on, nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rootbound.evaluation.workers import run_all


def work(job: int, offset: int) -> tuple[int, int, int]:
    if job < 0:
        raise ValueError("a bad job")
    return job + offset, torch.get_num_threads(), os.getpid()


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_every_job_is_done(workers: int) -> None:
    found: list[tuple[int, int, int]] = []

    def follow(job: int, result: tuple[int, int, int]) -> list[int]:
        found.append(result)
        return [job + 100] if job < 100 else []

    done = list(run_all(work, [1, 2, 3], (10,), follow=follow, workers=workers))
    assert sorted(done) == [1, 2, 3, 101, 102, 103]
    assert sorted(result for result, _, _ in found) == [11, 12, 13, 111, 112, 113]
    assert {threads for _, threads, _ in found} == {1}
    assert (os.getpid() in {process for _, _, process in found}) == (workers == 1)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_failure_reaches_the_caller(workers: int) -> None:
    with pytest.raises(ValueError, match="a bad job"):
        list(run_all(work, [-1, 1], (0,), follow=lambda *_: [], workers=workers))


@pytest.mark.slow
def test_ctrl_c_ends_soon_with_one_line_and_leaves_no_process(tmp_path: Path) -> None:
    """As a terminal does it: the interrupt goes to the whole process group."""
    # A shell starts what it puts in the background with interrupts ignored, and that is inherited.
    heard = ["env", "--default-signal=INT"]
    program = [*heard, sys.executable, "-m", "rootbound", "demo", "--workers", "2", "--out", "run"]
    running = subprocess.Popen(
        program, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    time.sleep(20)
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert errors == "rootbound: interrupted; what was finished is on disk\n"
    # Python's own tracker of shared memory may need a moment to see that it is alone.
    for _ in range(50):
        if not alive(running.pid):
            return
        time.sleep(0.1)
    pytest.fail("a process of the group is still running")


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
