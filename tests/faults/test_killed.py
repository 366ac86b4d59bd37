"""kill -9, the short version: finished work stays, and a resumed run finds the same."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from faults.killing import ENGINES, Engine, start, torture, wait_for
from faults.small_run import run, timeless
from rootbound.records import Evaluation

KILLS = {"in process": 3, "pool of 2": 1}
"""In the long form alone under Ray, where every run takes long to begin."""


def test_killed_run_resumes_with_the_same_records(finished_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(run, folder)
    until = time.monotonic() + 120
    while len(list(folder.glob("records/*.json"))) < 8 and time.monotonic() < until:
        time.sleep(0.02)
    assert process.is_alive()
    process.kill()
    wait_for(process)
    whole, left = Evaluation.load(finished_run), Evaluation.load(folder)
    assert not left.complete and left.trainings
    assert all(found in timeless(whole) for found in timeless(left))
    run(folder)
    again = Evaluation.load(folder)
    assert again.complete and timeless(again) == timeless(whole)
    assert all(record in again.records for record in left.records), "to the second"


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", [one for one in ENGINES if one.name in KILLS], ids=lambda engine: engine.name
)
def test_runs_killed_many_times_lose_nothing(engine: Engine, tmp_path: Path) -> None:
    tally = torture(engine, tmp_path, KILLS[engine.name], seed=1)
    assert tally.kills >= KILLS[engine.name]
    assert (tally.lost, tally.doubled, tally.unequal, tally.unreadable) == (0, 0, 0, 0)
