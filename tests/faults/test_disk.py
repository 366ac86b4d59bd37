"""Disks that fill, folders that cannot be written or go away, clocks, two writers."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.small_run import run, timeless
from few import SUITE
from folders import contents
from rootbound.core.errors import InputError
from rootbound.core.files import write_atomically
from rootbound.evaluation import comparison, jobs
from rootbound.records import Evaluation, RunFolder, Spec


@pytest.fixture(scope="module")
def undisturbed(finished_run: Path) -> Evaluation:
    return Evaluation.load(finished_run)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 200 KiB: less than the run's models and records take."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)]
    mounted = subprocess.run(options, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def before_job(number: int, harm: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    """Cause a failure before the job of that number, counted from 1."""
    done = 0

    def do_job(*arguments: object) -> object:
        nonlocal done
        done += 1
        if done == number:
            harm()
        return jobs.do_job(*arguments)  # type: ignore[arg-type]

    patch.setattr(comparison, "do_job", do_job)


def test_reports_a_full_disk_and_keeps_finished_work(
    small_disk: Path, tmp_path: Path, undisturbed: Evaluation
) -> None:
    with pytest.raises(InputError, match="No space left on device") as raised:
        run(small_disk / "run")
    assert len(str(raised.value).splitlines()) == 1
    left = Evaluation.load(small_disk / "run")
    assert not left.complete and len(left.trainings) > 0
    known = timeless(undisturbed)
    assert all(one in known for one in timeless(left))
    assert not [path for path in (small_disk / "run").rglob(".*") if path.is_file()]
    # With room it goes on.
    shutil.copytree(small_disk / "run", tmp_path / "roomy")
    run(tmp_path / "roomy")
    assert timeless(Evaluation.load(tmp_path / "roomy")) == known


def test_reports_an_unwritable_folder_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    write_atomically(folder / "kept", "kept")
    # The superuser may write everywhere: ask in its place.
    monkeypatch.setattr("rootbound.core.files.os.access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(comparison, "do_job", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(InputError, match="no permission; pass another `path`"):
        run(folder)
    assert contents(folder) == {"kept": b"kept"}


def test_folder_turns_read_only_during_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Evaluation
) -> None:
    def harm() -> None:
        monkeypatch.setattr("rootbound.core.files.os.access", lambda path, mode: mode != os.W_OK)

    before_job(5, harm, monkeypatch)
    with pytest.raises(InputError, match="no permission"):
        run(tmp_path)
    monkeypatch.undo()
    left = Evaluation.load(tmp_path)
    assert not left.complete and len(left.trainings) == 3 and left.records
    run(tmp_path)
    assert timeless(Evaluation.load(tmp_path)) == timeless(undisturbed)


def test_reports_a_folder_deleted_during_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    before_job(5, lambda: shutil.rmtree(folder), monkeypatch)
    with pytest.raises(InputError, match="deleted or moved during the run"):
        run(folder)
    assert not folder.exists()


def test_clock_going_backwards_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Evaluation
) -> None:
    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        before_job(6, stop, patch)
        with pytest.raises(Stopped):
            run(tmp_path)
    # What is there comes from the future, and every look at the clock shows an earlier time.
    for path in tmp_path.rglob("*"):
        os.utime(path, (time.time() + 1e6,) * 2)
    now = time.time()

    def earlier() -> float:
        nonlocal now
        now -= 3600.0
        return now

    monkeypatch.setattr(time, "time", earlier)
    assert datetime.datetime.fromtimestamp(time.time()) < datetime.datetime.now()
    run(tmp_path)
    assert timeless(Evaluation.load(tmp_path)) == timeless(undisturbed)


def test_two_writers_do_not_harm_each_other(tmp_path: Path, undisturbed: Evaluation) -> None:
    """One overtakes the other in the middle, twice: the pieces of both are the same pieces."""
    nested = False

    def overtake() -> None:
        nonlocal nested
        if not nested:
            nested = True
            run(tmp_path)

    with pytest.MonkeyPatch.context() as patch:
        before_job(4, overtake, patch)
        run(tmp_path)
    assert nested
    found = Evaluation.load(tmp_path)
    assert timeless(found) == timeless(undisturbed)
    keys = [one.key for one in found.records]
    assert len(keys) == len(set(keys))
    assert sum(one.seconds for one in found.records) > 0


def test_refuses_a_second_writer_with_another_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Evaluation
) -> None:
    refused = 0

    def intrude() -> None:
        nonlocal refused
        before = contents(tmp_path)
        with pytest.raises(InputError, match="no other run in"):
            run(tmp_path, suite=SUITE.with_budgets(SUITE.budgets[:1]))
        refused += contents(tmp_path) == before

    before_job(4, intrude, monkeypatch)
    run(tmp_path)
    assert refused == 1
    assert timeless(Evaluation.load(tmp_path)) == timeless(undisturbed)


def test_simultaneous_claims_leave_one_run(tmp_path: Path) -> None:
    """Of specs that race for an empty folder one wins, and the others are told so."""
    outcomes: list[str] = []
    barrier = threading.Barrier(8, timeout=60)

    def claim(number: int) -> None:
        barrier.wait()
        try:
            RunFolder(tmp_path).claim(Spec({"seeds": number}), {"seeds": number})
            outcomes.append(f"won {number}")
        except InputError:
            outcomes.append("refused")

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    (won,) = [outcome for outcome in outcomes if outcome != "refused"]
    assert Spec.load(tmp_path).content == {"seeds": int(won.split()[1])}
    assert sorted(outcomes)[:7] == ["refused"] * 7


@pytest.mark.slow
def test_same_spec_gives_the_same_bytes(tmp_path: Path) -> None:
    """For one worker and for two, apart from seconds, their number, the date and the machine."""
    texts = []
    for name, workers in (("one", 1), ("again", 1), ("two", 2)):
        run(tmp_path / name, workers=workers)
        found = Evaluation.load(tmp_path / name)
        unequal = ("seconds", "workers", "date", "machine")
        context = {key: one for key, one in found.context.items() if key not in unequal}
        bare = Evaluation(context, (), ()).to_json()
        weights = [path.read_bytes() for path in sorted((tmp_path / name / "models").iterdir())]
        pictures = (tmp_path / name / "pictures.npz").read_bytes()
        texts.append((bare, repr(timeless(found)), weights, pictures))
    assert texts[0] == texts[1] == texts[2]
