"""A run's folder: which run owns it, and what `rootbound runs` says about it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rootbound.cli import main
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.evaluation import evaluate
from rootbound.networks import Classifier, shallow_cnn
from rootbound.publishing import Origin, save_model
from rootbound.records import Configuration, Evaluation, RunFolder, Spec, compare_runs, find_runs
from rootbound.suites import Suite

AUDIT = (
    "audit",
    "model.safetensors",
    "--seeds",
    "1",
    "--workers",
    "1",
    "--labels",
    "5",
    "--suite",
    "demo-1",
)


@pytest.fixture(scope="module")
def audited(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a place with a model, and a run of it in `first/`."""
    place = tmp_path_factory.mktemp("audited")
    origin = Origin(
        Configuration("Plain", {}),
        "undefended",
        str(toy_folder),
        str(toy_folder),
        "0-2",
        "3-5",
        0,
        False,
    )
    save_model(shallow_cnn(3, (1, 16, 16)), place / "model.safetensors", (1, 16, 16), origin)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main([*AUDIT, "--steps", "3", "--out", "first"]) == 0
    return place


@pytest.fixture
def place(audited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_figures: None) -> Path:
    """Give a copy that a test may damage, and go there."""
    shutil.copytree(audited, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def begun_in(folder: Path, directory: Path) -> None:
    """Make a copied run one that was begun where it is now."""
    spec = Spec.load(folder)
    (folder / "spec.json").unlink()
    replace(spec, directory=str(directory)).save(folder)


def unfinish(folder: Path) -> int:
    """Take back what a kill before the end would not have left; return how many pieces stay."""
    (folder / "records.json.gz").unlink()
    pieces = sorted(path for path in (folder / "records").glob("*.json") if path.stem != "run")
    for piece in pieces[::2]:
        piece.unlink()
    return len(pieces[1::2])


def test_equal_values_have_equal_digests() -> None:
    spec = Spec({"a": 1, "b": {"c": [1, 2]}}, ("audit",), "/somewhere")
    same = Spec({"b": {"c": [1, 2]}, "a": 1})
    assert spec.digest == same.digest
    other = Spec({"a": 1, "b": {"c": [1, 3]}})
    assert other.digest != spec.digest
    assert list(spec.differs_from(other)) == [("b.c.1", "2", "3")]
    assert not list(spec.differs_from(same))


def test_refuses_another_run_and_keeps_the_first(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in (place / "first").rglob("*") if path.is_file()}
    assert main([*AUDIT, "--steps", "4", "--out", "first"]) == 2
    said = capsys.readouterr().err
    assert "no other run in first" in said and "pass another --out" in said, said
    assert len(said.splitlines()) == 1
    after = {path: path.read_bytes() for path in (place / "first").rglob("*") if path.is_file()}
    assert after == before


def test_another_run_without_out_gets_its_own_folder(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for steps in ("3", "4", "4"):
        assert main([*AUDIT, "--steps", steps]) == 0
    said = capsys.readouterr()
    assert "rootbound-audit holds another run: this one goes to rootbound-audit-" in said.err
    folders = [path.name for path in find_runs(place)]
    assert folders[:2] == ["first", "rootbound-audit"]
    assert folders[2] == f"rootbound-audit-{Spec.load(place / folders[2]).digest}"
    assert f"report: {folders[2]}/report.html" in said.out
    assert len(folders) == 3


def test_resume_does_missing_work_and_finds_the_same(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Evaluation.load("first")
    begun_in(place / "first", place)
    stay = unfinish(place / "first")
    left = Evaluation.load("first")
    assert not left.complete
    assert 0 < len(left.records) < len(whole.records) and stay
    # Somewhere else: relative paths in the command are still found, and the folder too.
    moved = tmp_path / "moved"
    (place / "first").rename(moved)
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "resume", "moved"]) == 0
    found = compare_runs((Spec.load(moved), Evaluation.load(moved)), (Spec.load(moved), whole))
    assert found.equal == len(whole.records) + 2 * len(whole.trainings)
    assert (found.only, found.unequal, found.specs) == ((0, 0), (), ())
    # What was recalled is what was there, to the byte; and everything in its old order.
    assert [one.key for one in Evaluation.load(moved).records] == [one.key for one in whole.records]
    assert all(record in Evaluation.load(moved).records for record in left.records)


def test_command_refuses_to_start_a_programs_run(
    toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    evaluate(toy_model, toy_tasks, suite=toy_suite, seeds=1, folder=tmp_path)
    assert main(["runs", "resume", str(tmp_path)]) == 2
    assert "one of a program" in capsys.readouterr().err


def test_show_describes_a_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "show", "first"]) == 0
    shown = capsys.readouterr().out
    for text in (
        Spec.load(place / "first").digest, "complete", "command: rootbound audit model.safetensors",
        "suite.name: demo-1 with own budgets", "seeds: 1", "defended, seed 0: ", "0 failed",
        "demo-1 with own budgets, 1 seed, ",
    ):  # fmt: skip
        assert text in shown, (text, shown)


def test_diff_describes_specs_and_results(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*AUDIT, "--steps", "4", "--out", "second"]) == 0
    capsys.readouterr()
    assert main(["runs", "diff", "first", "second"]) == 0
    shown = capsys.readouterr().out
    assert "budgets.0: A Budget(labels=5, steps=3), B Budget(labels=5, steps=4)" in shown
    assert "accuracies are up to" in shown
    assert main(["runs", "diff", "first", "first"]) == 0
    shown = capsys.readouterr().out
    assert "the specs are the same" in shown
    assert "\n  0 not, 0 in A alone, 0 in B alone\n" in shown


def test_diff_takes_published_records(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They have no spec and no journal; and older ones say less of each trial."""
    found = Evaluation.load("first")
    older = replace(found, records=tuple(replace(one, halves=()) for one in found.records))
    (place / "published").mkdir()
    older.save(place / "published")
    for pair, bare in ((("published", "first"), "A"), (("first", "published"), "B")):
        assert main(["runs", "diff", *pair]) == 0
        shown = capsys.readouterr().out
        assert f"no spec in {bare}: below is what records say of it" in shown
        assert "the specs are the same" in shown
        assert "\n  0 not, 0 in A alone, 0 in B alone\n" in shown
    judged = next(one for one in older.records if one.accuracy is not None)
    others = [one for one in older.records if one is not judged]
    changed = replace(judged, accuracy=(judged.accuracy or 0.0) - 0.25)
    context = {**older.context, "versions": {**older.context["versions"], "torch": "0.1"}}
    replace(older, records=(changed, *others), context=context).save(place / "published")
    assert main(["runs", "diff", "published", "first"]) == 0
    shown = capsys.readouterr().out
    assert "versions.torch: A 0.1, B " in shown
    assert "\n  1 not, 0 in A alone, 0 in B alone\n" in shown
    assert "accuracies are up to 25.00 points apart" in shown


def test_diff_counts_records_of_only_one_run(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Evaluation.load("first")
    (place / "less").mkdir()
    replace(found, records=found.records[:-3]).save(place / "less")
    for pair, told in (
        (("first", "less"), "3 in A alone, 0 in B alone"),
        (("less", "first"), "0 in A alone, 3 in B alone"),
    ):
        assert main(["runs", "diff", *pair]) == 0
        assert told in capsys.readouterr().out


def test_show_counts_what_finished_and_what_failed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Evaluation.load("first")
    own = [one for one in found.records if one.method == "defended"]
    broken: dict[str, Any] = {
        "error": "boom",
        "accuracy": None,
        "halves": (),
        "test": (),
        "steps": (),
    }
    records = tuple(
        replace(one, **broken, validation=(), losses=(), selected=0) if one in own[:7] else one
        for one in found.records
    )
    replace(found, records=records).save(place / "first")
    assert main(["runs", "show", "first"]) == 0
    told = f"defended, seed 0: {len(own) - 7} trials finished, 7 failed\n"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    "folder",
    ["examples/results/published_network", "benchmarks/results/generalising/100_samples"],
)
def test_diff_takes_committed_records(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    results = str(Path(__file__).parents[1] / folder)
    assert main(["runs", "diff", results, results]) == 0
    shown = capsys.readouterr().out
    assert "no spec in A and B" in shown and "\n  0 not, 0 in A alone, 0 in B alone\n" in shown


def test_list_shows_complete_unfinished_and_damaged_runs(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("unfinished", "damaged"):
        shutil.copytree("first", place / "below" / name)
    unfinish(place / "below" / "unfinished")
    (place / "below" / "damaged" / "records.json.gz").write_text('{"format": 2')
    assert main(["runs", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["below/damaged", "below/unfinished", "first"]
    assert "JSONDecodeError" in lines[0]
    assert "unfinished" in lines[1].split("  ", 1)[1]
    assert "complete" in lines[2]


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"format": 9}', "\0\1", '{"format": 1}'])
def test_refuses_a_damaged_spec(damage: str, place: Path) -> None:
    (place / "first" / "spec.json").write_text(damage)
    for arguments in (["runs", "show", "first"], [*AUDIT, "--steps", "3", "--out", "first"]):
        assert main(arguments) == 2


def test_keeps_a_folder_of_records_without_a_spec(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "first" / "spec.json").unlink()
    before = (place / "first" / "records.json.gz").read_bytes()
    assert main([*AUDIT, "--steps", "4", "--out", "first"]) == 2
    assert "no other run in first" in capsys.readouterr().err
    assert (place / "first" / "records.json.gz").read_bytes() == before


def test_redoes_damaged_pieces(place: Path) -> None:
    whole = Evaluation.load("first")
    begun_in(place / "first", place)
    (place / "first" / "records.json.gz").unlink()
    pieces = [path for path in (place / "first/records").glob("*.json") if path.stem != "run"]
    for number, piece in enumerate(sorted(pieces)):
        text = piece.read_text()
        piece.write_text([text, text[: len(text) // 2], "{}", ""][number % 4])
    with pytest.raises(InputError, match="run it again"):
        Evaluation.load("first")
    assert main(["runs", "resume", "first"]) == 0
    timeless = [[replace(one, seconds=0.0) for one in run.records] for run in (
        whole, Evaluation.load("first"))]  # fmt: skip
    assert timeless[0] == timeless[1]


def test_one_of_two_specs_claims_a_folder(tmp_path: Path) -> None:
    context = {"seeds": 1}
    RunFolder(tmp_path).claim(Spec({"seeds": 1}), context)
    with pytest.raises(InputError, match="where seeds is 1, not 2"):
        RunFolder(tmp_path).claim(Spec({"seeds": 2}), context)
    RunFolder(tmp_path).claim(Spec({"seeds": 1}), context)
    assert Spec.load(tmp_path).content == {"seeds": 1}


@pytest.mark.parametrize("action", ["list", "show", "diff", "resume"])
def test_runs_command_needs_no_torch(action: str, place: Path) -> None:
    folders = {"list": [], "show": ["first"], "diff": ["first", "first"]}.get(action, ["first"])
    words = ["runs", action, *folders]
    program = f"import sys; from rootbound.cli import main; code = main({words!r}); "
    program += "sys.exit(code or 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["runs"], "required: action"),
        (["runs", "drop"], "a command out of diff, list, resume, show"),
        (["runs", "sow"], "did you mean 'show'"),
        (["runs", "show"], "1 folder after runs show; got 0"),
        (["runs", "diff", "first"], "2 folders after runs diff; got 1"),
        (["runs", "show", "nowhere"], "nowhere/spec.json; got no such file"),
        (["runs", "resume", "nowhere"], "nowhere/spec.json; got no such file"),
        (["runs", "list", "nowhere"], "a folder at nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refuses_bad_input(
    words: list[str], says: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert says in said.err and len(said.err.splitlines()) == 1, said.err
    assert said.out == ""


def test_spec_file_holds_what_its_digest_covers(place: Path) -> None:
    content = json.loads((place / "first" / "spec.json").read_text())
    assert Spec(content["spec"]).digest == content["run"] == Evaluation.load("first").context["run"]
