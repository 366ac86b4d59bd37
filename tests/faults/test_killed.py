"""kill -9, in short: after it, what was finished is there, and a resumed run finds the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.killing import ENGINES, Engine, torture

KILLS = {"in process": 3, "pool of 2": 1}
"""In the long form alone under Ray, where every run takes long to begin."""


def test_a_killed_run_goes_on_and_finds_the_same(tmp_path: Path) -> None:
    tally = torture(ENGINES[0], tmp_path, kills=1, seed=1)
    assert tally.kills == 1
    assert (tally.lost, tally.doubled, tally.unequal, tally.unreadable) == (0, 0, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", [one for one in ENGINES if one.name in KILLS], ids=lambda engine: engine.name
)
def test_killed_runs_go_on_and_find_the_same(engine: Engine, tmp_path: Path) -> None:
    tally = torture(engine, tmp_path, KILLS[engine.name], seed=1)
    assert tally.kills >= KILLS[engine.name]
    assert (tally.lost, tally.doubled, tally.unequal, tally.unreadable) == (0, 0, 0, 0)
