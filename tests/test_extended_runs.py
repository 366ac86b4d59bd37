"""A run of more seeds, attackers or methods takes up what a smaller one has found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faults.small_run import RECIPE, timeless
from few import FEW, SUITE
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
FIRST: tuple[Method, ...] = (Plain(RECIPE), HEAD)
MORE: dict[str, dict[str, Any]] = {
    "seeds": {"seeds": 2},
    "attackers": {"suite": SUITE.with_attackers(2)},
    "methods": {"methods": (*FIRST, NTL(RECIPE, undesirable_batch_size=30))},
}
PART = Spec({"seeds": 2, "suite": {"name": "x", "attackers": 5}, "arms": {"A": {"method": "A()"}}})


@pytest.fixture
def run(toy_tasks: TaskPair, toy_model: Classifier) -> Any:
    def carried_out(
        folder: RunFolder | Path,
        *,
        methods: tuple[Method, ...] = FIRST,
        suite: Suite = SUITE,
        seeds: int = 1,
    ) -> Evaluation:
        compare(methods, toy_tasks, toy_model, suite=suite, seeds=seeds, folder=folder)
        # As the file has it: floats of what was recalled are rounded.
        return Evaluation.load(folder.path if isinstance(folder, RunFolder) else folder)

    return carried_out


@pytest.fixture
def small(finished_run: Path, tmp_path: Path) -> Path:
    """Give a finished run of one seed, one attacker and `FIRST`."""
    return shutil.copytree(finished_run, tmp_path / "small")


@pytest.fixture
def fresh(run: Any, made_once: Callable[..., Path]) -> Callable[[str], Path]:
    """Give a function that returns the folder of a larger run that was done from nothing."""
    return lambda what: made_once(f"larger-run-{what}", lambda folder: run(folder, **MORE[what]))


def pieces(folder: Path) -> int:
    """Return how many jobs a finished run consists of."""
    return len([path for path in (folder / "records").glob("*.json") if path.stem != "run"])


@pytest.mark.parametrize(
    "what", ["seeds", "attackers", pytest.param("methods", marks=pytest.mark.slow)]
)
def test_larger_run_does_only_missing_work(
    what: str,
    run: Any,
    small: Path,
    fresh: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[object] = []

    def counted(*arguments: Any) -> Any:
        done.append(arguments)
        return jobs.do_job(*arguments)

    monkeypatch.setattr(comparison, "do_job", counted)
    before, records = contents(small), Evaluation.load(small).records
    expected = Evaluation.load(fresh(what))
    done.clear()
    larger = run(RunFolder(tmp_path / "larger", extends=small), **MORE[what])
    assert 0 < len(done) == pieces(fresh(what)) - pieces(small)
    assert timeless(larger) == timeless(expected)
    assert [one.key for one in larger.records] == [one.key for one in expected.records]
    kept = {one.key: one for one in larger.records}
    assert all(kept[one.key] == one for one in records), "to the second"
    assert contents(small) == before


def test_resumed_larger_run_keeps_its_own_context(tmp_path: Path) -> None:
    small, larger = tmp_path / "small", tmp_path / "larger"
    first = RunFolder(small).claim(Spec({"seeds": 1}), {"seeds": 1})
    first.write_part("piece", Evaluation({"places": []}, (), (), False).to_json())
    (small / "records" / ".piece.json.half").write_text("what a writer left")
    model = first.weights_file("A(b='c/d')", 0)
    model.parent.mkdir()
    model.write_bytes(b"weights")
    before = contents(small)
    context = {"seeds": 2}
    second = RunFolder(larger, extends=small).claim(Spec({"seeds": 2}), context)
    assert Evaluation.load(larger).context == context
    assert second.read_part("piece") == first.read_part("piece")
    assert second.weights_file("A(b='c/d')", 0).read_bytes() == b"weights"
    assert sorted(path.name for path in second.parts.iterdir()) == ["piece.json", "run.json"]
    assert contents(small) == before


def test_extends_an_unfinished_run_and_resumes_without_it(
    run: Any, small: Path, fresh: Callable[[str], Path], tmp_path: Path
) -> None:
    (small / "records.json.gz").unlink()
    for piece in sorted((small / "records").glob("*"))[::3]:
        piece.unlink()
    folder = RunFolder(tmp_path / "larger", extends=small)
    larger = run(folder, seeds=2)
    assert timeless(larger) == timeless(Evaluation.load(fresh("seeds")))
    small.rename(tmp_path / "gone")
    assert run(folder, seeds=2) == larger


def test_extension_killed_while_copying_starts_again(
    run: Any,
    small: Path,
    fresh: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = RunFolder(tmp_path / "larger", extends=small)
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
    assert timeless(run(folder, seeds=2)) == timeless(Evaluation.load(fresh("seeds")))


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
def test_recognises_a_smaller_run(change: dict[str, Any], obstacle: str | None) -> None:
    found = PART.obstacle_to(replace(PART, content={**PART.content, **change}))
    assert (found and found[0]) == obstacle


def test_refuses_other_runs_and_writes_nothing(
    run: Any, fresh: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="one where seeds is 2, not 1; leave `extends` out"):
        run(RunFolder(tmp_path / "new", extends=fresh("seeds")))
    with pytest.raises(InputError, match=r"nowhere/spec\.json; got no such file"):
        run(RunFolder(tmp_path / "new", extends=tmp_path / "nowhere"))
    assert not (tmp_path / "new").exists()


def test_refuses_a_larger_run_in_the_same_folder(run: Any, small: Path) -> None:
    with pytest.raises(InputError, match=f"seeds is 1, not 2; .*`extends` {small} to keep"):
        run(small, seeds=2)


@pytest.mark.usefixtures("no_figures")
def test_command_extends_a_run(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    command = [
        "compare", "--methods", "Plain", *FEW, "--labels", "5", "--steps", "3",
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
