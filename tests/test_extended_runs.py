"""A run of more seeds, attackers or methods takes up what a smaller one has found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faults.small_run import RECIPE, SUITE, timeless
from folders import contents
from rootbound.cli import main
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.evaluation import compare, comparison, jobs
from rootbound.methods import NTL, AdversarialHead, Method, Plain
from rootbound.networks import Classifier
from rootbound.records import Evaluation, RunFolder, Spec
from rootbound.suites import Suite

HEAD = AdversarialHead(RECIPE, heads=1, hidden=0, undesirable_batch_size=30)
FEW: tuple[Method, ...] = (Plain(RECIPE), HEAD)
MORE: dict[str, dict[str, Any]] = {
    "seeds": {"seeds": 2},
    "attackers": {"suite": SUITE.with_attackers(2)},
    "methods": {"methods": (*FEW, NTL(RECIPE, undesirable_batch_size=30))},
}
PART = Spec({"seeds": 2, "suite": {"name": "x", "attackers": 5}, "arms": {"A": {"method": "A()"}}})


@pytest.fixture
def run(toy_tasks: TaskPair, toy_model: Classifier) -> Any:
    def carried_out(
        folder: RunFolder | Path,
        *,
        methods: tuple[Method, ...] = FEW,
        suite: Suite = SUITE,
        seeds: int = 1,
    ) -> Evaluation:
        compare(methods, toy_tasks, toy_model, suite=suite, seeds=seeds, folder=folder)
        # As the file has it: floats of what was recalled are rounded.
        return Evaluation.load(folder.path if isinstance(folder, RunFolder) else folder)

    return carried_out


@pytest.mark.parametrize("what", MORE)
def test_a_larger_run_does_only_what_is_missing(
    what: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []

    def counted(*arguments: Any) -> Any:
        done.append(arguments)
        return jobs.do_job(*arguments)

    monkeypatch.setattr(comparison, "do_job", counted)
    small = run(tmp_path / "small")
    few, before = len(done), contents(tmp_path / "small")
    done.clear()
    fresh = run(tmp_path / "fresh", **MORE[what])
    many = len(done)
    done.clear()
    larger = run(RunFolder(tmp_path / "larger", extends=tmp_path / "small"), **MORE[what])
    assert 0 < len(done) == many - few
    assert timeless(larger) == timeless(fresh)
    assert [one.key for one in larger.records] == [one.key for one in fresh.records]
    kept = {one.key: one for one in larger.records}
    assert all(kept[one.key] == one for one in small.records), "to the second"
    assert contents(tmp_path / "small") == before


def test_an_unfinished_run_can_be_extended(run: Any, tmp_path: Path) -> None:
    run(tmp_path / "small")
    (tmp_path / "small" / "records.json.gz").unlink()
    for piece in sorted((tmp_path / "small" / "records").glob("*"))[::3]:
        piece.unlink()
    larger = run(RunFolder(tmp_path / "larger", extends=tmp_path / "small"), seeds=2)
    assert timeless(larger) == timeless(run(tmp_path / "fresh", seeds=2))


def test_what_was_killed_while_taking_over_begins_again(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "small")
    folder = RunFolder(tmp_path / "larger", extends=tmp_path / "small")
    with monkeypatch.context() as patch:
        written = 0

        def stopped(*_: object) -> bool:
            nonlocal written
            written += 1
            if written == 5:
                raise KeyboardInterrupt
            return True

        patch.setattr("rootbound.records.run_folder.write_once", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(folder, seeds=2)
    assert not (tmp_path / "larger" / "spec.json").exists()
    assert timeless(run(folder, seeds=2)) == timeless(run(tmp_path / "fresh", seeds=2))


def test_a_larger_run_goes_on_without_the_smaller_one(run: Any, tmp_path: Path) -> None:
    run(tmp_path / "small")
    folder = RunFolder(tmp_path / "larger", extends=tmp_path / "small")
    found = run(folder, seeds=2)
    (tmp_path / "small").rename(tmp_path / "gone")
    assert run(folder, seeds=2) == found


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ({"seeds": 3}, None),
        ({"seeds": 1}, "seeds"),
        ({"seeds": "many"}, "seeds"),
        ({"suite": {"name": "x on 9 attackers", "attackers": 9}}, None),
        ({"suite": {"name": "x", "attackers": 4}}, "suite.attackers"),
        ({"arms": {"A": {"method": "A()"}, "B": {"method": "B()"}}}, None),
        ({"arms": {"A": {"method": "A(1)"}}}, "arms.A.method"),
        ({"arms": {"B": {"method": "B()"}}}, "arms.A.method"),
        ({"code": {"own.py": "0"}}, None),
        ({"data": "other"}, "data"),
    ],
    ids=str,
)
def test_what_a_smaller_run_is(change: dict[str, Any], obstacle: str | None) -> None:
    found = PART.obstacle_to(replace(PART, content={**PART.content, **change}))
    assert (found and found[0]) == obstacle


def test_what_is_no_smaller_run_is_refused_and_nothing_is_written(run: Any, tmp_path: Path) -> None:
    run(tmp_path / "two", seeds=2)
    with pytest.raises(InputError, match="one where seeds is 2, not 1; leave --extends out"):
        run(RunFolder(tmp_path / "new", extends=tmp_path / "two"))
    with pytest.raises(InputError, match=r"nowhere/spec\.json; got no such file"):
        run(RunFolder(tmp_path / "new", extends=tmp_path / "nowhere"))
    assert not (tmp_path / "new").exists()


def test_who_asks_for_more_in_the_same_folder_is_told(run: Any, tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(InputError, match=f"seeds is 1, not 2; .*--extends {tmp_path} to keep"):
        run(tmp_path, seeds=2)


def test_the_command_extends(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    command = [
        "compare", "--methods", "Plain", "--suite", "demo-1", "--labels", "5", "--steps", "3",
        "--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5",
        "--epochs", "1", "--workers", "1",
    ]  # fmt: skip
    assert main([*command, "--seeds", "1"]) == 0
    assert main([*command, "--seeds", "2", "--extends", "rootbound-compare"]) == 0
    (larger,) = tmp_path.glob("rootbound-compare-*")
    assert f"rootbound-compare-{Spec.load(larger).digest} takes up" in capsys.readouterr().err
    found, part = Evaluation.load(larger), Evaluation.load(tmp_path / "rootbound-compare")
    assert len(found.records) == 2 * len(part.records) > 0
    assert found.records[0].seconds == part.records[0].seconds
