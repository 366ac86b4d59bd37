"""Runs that add draws of labels until a gate is decided, and the gate on the command line."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rootbound import report
from rootbound.attacks import Budget, ExactLastLayer, FineTune
from rootbound.cli import main
from rootbound.cli.gate import build_command_for_more
from rootbound.cli.options import FolderOptions
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.evaluation import evaluate, jobs
from rootbound.metrics import measures as metrics
from rootbound.networks import Classifier, shallow_cnn
from rootbound.records import Evaluation, RunFolder, Spec
from rootbound.report.gate import Judgement, in_a_sentence
from rootbound.report.gate import judge as judge_gate
from rootbound.report.limits import FURTHER_DRAWS
from rootbound.report.settings import describe_settings
from rootbound.report.verdicts import SCHEMA
from rootbound.suites import Suite
from timeless import timeless

ATTACKS = (ExactLastLayer(1e-3), FineTune(None, "kept", "adam", 1e-2))
SUITE = Suite("two-1", ATTACKS, (Budget(5, 3), Budget(None, 3)), draws=(2, 1))
DECIDING = SUITE.until_decided(0.0, draws=6)
THREE = Suite("three-1", ATTACKS, (Budget(5, 3),), draws=(3,))
OPTIONS = ("--suite", f"{__file__}:THREE", "--workers", "1")
Judge = Callable[..., tuple[int, list[str], dict[str, Any]]]


@pytest.fixture(scope="module")
def run(
    toy_tasks: TaskPair, made_once: Callable[..., Path]
) -> tuple[Evaluation, Callable[[Path], Evaluation]]:
    """Give a run that ends undecided at its most draws, and what makes it in another folder."""

    def make(folder: Path) -> Evaluation:
        model = shallow_cnn(classes=3, shape=(1, 16, 16), seed=0)
        return evaluate(model, toy_tasks, suite=DECIDING, folder=folder)

    return Evaluation.load(made_once("deciding-run", make)), make


Run = tuple[Evaluation, Callable[[Path], Evaluation]]


def test_adds_draws_and_reports_the_looks(run: Run) -> None:
    found, _ = run
    assert found.context["seeds"] == 1
    looks = {one["labels"]: one["draws"] for one in found.context["until"]["looks"]}
    decision = metrics.decide(found, "defended", 0.0)
    for cell in decision.cells:
        draws = metrics.trials(found, "defended", cell.labels)
        assert len(draws) == looks[cell.labels][-1] <= 6
        assert set(draws) == set(metrics.trials(found, "scratch", cell.labels))
    assert any(len(draws) > 1 for draws in looks.values())
    values = report.verdict(found)
    jsonschema.validate(values, SCHEMA)
    said = describe_settings(found)["Further draws of labels"]
    assert "up to 6 draws for each seed" in said and "2.5 % of cases at most" in said
    assert FURTHER_DRAWS in values["limits"]
    (model,) = values["models"]
    assert model["gate"]["looks"] == found.context["until"]["looks"]
    assert model["gate"]["end"] == decision.end


def test_interrupted_run_resumes_to_the_same_end(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, make = run
    real, done, stop = jobs.do_job, 0, 0

    def stopped(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == stop:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr("rootbound.evaluation.comparison.do_job", stopped)
    for count in (3, 9, 4):  # in the suite's own draws, and twice in further ones
        done, stop = 0, count
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path)
        assert not Evaluation.load(tmp_path).complete
    stop = 0
    assert timeless(make(tmp_path)) == timeless(found)


@pytest.mark.slow
def test_extends_a_run_without_further_draws(
    run: Run, toy_tasks: TaskPair, toy_model: Classifier, tmp_path: Path
) -> None:
    plain = evaluate(toy_model, toy_tasks, suite=SUITE, folder=tmp_path)
    found, make = run
    larger = Spec.load(Path(str(tmp_path)))
    deciding = make(tmp_path / "deciding")
    spec = Spec.load(tmp_path / "deciding")
    assert larger.obstacle_to(spec) is None and spec.obstacle_to(larger) is not None
    own = {record.key: record.accuracy for record in plain.records}
    taken = {record.key: record.accuracy for record in deciding.records}
    assert own.items() <= taken.items()
    assert timeless(deciding) == timeless(found)
    # And with more draws once more.
    folder = RunFolder(tmp_path / "more", extends=tmp_path / "deciding")
    more = evaluate(toy_model, toy_tasks, suite=SUITE.until_decided(0.0, draws=8), folder=folder)
    assert taken.items() < {record.key: record.accuracy for record in more.records}.items()
    other = evaluate(toy_model, toy_tasks, suite=SUITE.until_decided(0.0, draws=8))
    assert timeless(more) == timeless(other)
    with pytest.raises(InputError, match=r"where suite\.until\.limit is 0\.0, not 2\.0"):
        folder = RunFolder(tmp_path / "other", extends=tmp_path / "deciding")
        evaluate(toy_model, toy_tasks, suite=SUITE.until_decided(2.0, draws=8), folder=folder)


@pytest.fixture
def judge(
    audited: Path,
    made_once: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    no_figures: None,
) -> Judge:
    """Judge a model by a limit, whose three draws of labels were attacked once for all tests."""
    model = str(audited / "model.safetensors")
    audit = ["audit", model, *OPTIONS]

    def attack(folder: Path) -> None:
        assert main([*audit, "--out", str(folder / "run")]) == 0

    shutil.copytree(made_once("three-draws", attack) / "run", tmp_path / "run")

    def end(limit: str, *more: str) -> tuple[int, list[str], dict[str, Any]]:
        capsys.readouterr()
        gate = f"--fail-if-advantage-over={limit}"
        code = main([*audit, gate, *more, "--out", str(tmp_path / "run")])
        lines = capsys.readouterr().out.splitlines()
        return code, lines, json.loads((tmp_path / "run" / "verdict.json").read_text())

    return end


@pytest.mark.parametrize(
    ("limit", "code", "end", "says"),
    [
        ("95", 0, "holds", "shown to hold: over random weights the weights add "),
        ("-95", 1, "does not hold", "shown not to hold: over random weights the weights add "),
        ("1", 3, "undecided", "undecided: with 5 labels per class the weights add between "),
    ],
)
def test_gate_has_three_outcomes(limit: str, code: int, end: str, says: str, judge: Judge) -> None:
    found, lines, values = judge(limit)
    assert found == code
    assert lines[-1].startswith(says), lines[-1]
    assert lines[0] == values["sentence"] and lines[0].startswith("Head start: ")
    jsonschema.validate(values, SCHEMA)
    (model,) = values["models"]
    assert (model["gate"]["end"], model["gate"]["limit"]) == (end, float(limit))
    assert model["gate"]["sentence"] == lines[-1]


@pytest.mark.slow
def test_suggested_command_continues_the_undecided_run(
    judge: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, values = judge("1")
    # Hardly undecided: a draw more would do.
    limit = values["models"][0]["gate"]["cells"][0]["high"] - 0.02
    code, lines, values = judge(str(limit))
    assert code == 3
    command = values["models"][0]["gate"]["command"]
    rate = "then wrong in 5 % of cases at most"
    assert lines[-1].endswith(f" more would do ({rate}): {command}")
    words = shlex.split(command)[1:]
    assert words[-4:] == ["--extends", str(tmp_path / "run"), "--out", str(tmp_path / "run-2")]
    # Fewer draws than it asks for, to be quick.
    if "--draws" in words:
        place = words.index("--draws")
        del words[place : place + 2]
    code = main([*words, "--draws", "5"])
    assert "takes up" in capsys.readouterr().err
    found = Evaluation.load(tmp_path / "run-2")
    end = metrics.decide(found, "defended", limit).end
    assert code == {"holds": 0, "does not hold": 1, "undecided": 3}[end]
    assert len(metrics.trials(found, "defended", 5)) == 5
    gate = json.loads((tmp_path / "run-2" / "verdict.json").read_text())["models"][0]["gate"]
    assert (gate["most_draws"], gate["looks"]) == (5, [{"labels": 5, "draws": [5]}])
    # Interrupted, it is resumed as any other run, and ends with the same exit code.
    whole = timeless(found)
    (tmp_path / "run-2" / "records.json.gz").unlink()
    for piece in sorted((tmp_path / "run-2" / "records").glob("*.json"))[::2]:
        if piece.stem != "run":
            piece.unlink()
    assert main(["runs", "resume", str(tmp_path / "run-2")]) == code
    assert timeless(Evaluation.load(tmp_path / "run-2")) == whole


def undecided(found: Evaluation, more: dict[str, Any]) -> Evaluation:
    """Return a run of three draws of labels, with another context, that do not decide a gate."""
    context = {name: one for name, one in found.context.items() if name != "until"}
    three = {one.attacker for one in found.records if one.labels == 5}
    return replace(
        found,
        context=context | more,
        records=tuple(
            replace(one, accuracy=0.5, halves=(0.5, 0.5), attacker=attacker)
            if one.arm == "scratch"
            else replace(one, accuracy=value, halves=(value, value), attacker=attacker)
            for one in found.records
            if one.labels == 5 and one.attacker == 0
            for attacker, value in zip(sorted(three)[:3], (0.4, 0.5, 0.9), strict=False)
        ),
    )


@pytest.mark.parametrize("has_looked", [False, True])
def test_continuing_states_the_error_rate_of_both_looks(has_looked: bool, run: Run) -> None:
    until = {"limit": 25.0, "draws": 3, "looks": [{"labels": 5, "draws": [3]}]}
    found = undecided(run[0], {"until": until} if has_looked else {})
    judgement = judge_gate(found, "defended", 25.0, [])
    assert judgement.end == "undecided" and judgement.decision.looks == has_looked
    said = in_a_sentence(judgement, found, "do")
    assert said.endswith("more would do (then wrong in 5 % of cases at most): do")


@pytest.mark.parametrize("is_timed", [False, True])
def test_suggested_command_keeps_the_other_options(
    is_timed: bool, run: Run, tmp_path: Path
) -> None:
    found = undecided(run[0], {"time": {}} if is_timed else {})
    judgement = judge_gate(found, "defended", 25.0, [])
    assert judgement.end == "undecided" and judgement.decision.needed is not None
    given = FolderOptions(
        out="old", command=("audit", "--seeds=1", "m.st", "--minutes", "3", "--suite=demo-2",
                            "--out", "old", "--fail-if-advantage-over", "-1", "--device", "cpu"),
    )  # fmt: skip
    words = build_command_for_more(found, judgement, given, RunFolder(tmp_path)).split()
    kept = "rootbound audit m.st --suite=demo-2 --fail-if-advantage-over -1 --device cpu --seeds 1"
    assert " ".join(words).startswith(f"{kept} --until-decided")
    assert words[-2:] == ["--out", f"{tmp_path}-2"]
    assert ("--extends" in words) != is_timed


@pytest.mark.parametrize(
    ("needed", "seeds", "before", "asked"),
    [
        (20, 1, 0, None),  # at most 40 draws is the default
        (21, 1, 0, 42),  # room for looks, and for a spread that looks too small
        (100, 1, 0, 200),
        (100, 3, 0, 68),  # 34 draws of each of three seeds
        (5, 1, 40, 41),  # 40 did not decide it, so there must be more
    ],
)
def test_suggested_command_asks_for_enough_draws(
    needed: int, seeds: int, before: int, asked: int | None, run: Run, tmp_path: Path
) -> None:
    until = {"draws": before, "looks": []}
    found = replace(run[0], context={**run[0].context, "seeds": seeds, "until": until})
    cell = metrics.CellEnd(5, "undecided", 30.0, 20.0, 40.0, 3, needed)
    decision = metrics.Decision("defended", 25.0, "undecided", (cell,))
    given = FolderOptions(out="old", command=("audit", "m.st", "--draws", "7"))
    words = build_command_for_more(
        found, Judgement(decision, "undecided", ()), given, RunFolder(tmp_path)
    ).split()
    assert words[words.index("--seeds") + 1] == str(seeds)
    assert ("--draws" in words) == (asked is not None)
    assert asked is None or words[words.index("--draws") + 1] == str(asked)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--until-decided",), "--fail-if-advantage-over with --until-decided"),
        (("--fail-if-advantage-over", "nan"), "a number in --fail-if-advantage-over; got nan"),
        (("--fail-if-advantage-over", ".nan"), "a number of points; got nan"),
        (("--fail-if-advantage-over", ".inf"), "a number of points; got inf"),
        (("--fail-if-advantage-over", "1", "--draws", "9"), "--draws with --until-decided"),
        (("--fail-if-advantage-over", "1", "--until-decided", "--draws", "2"), "at least 3 draws"),
        (("--fail-if-advantage-over", "1", "--until-decided", "--draws", "0"), "draws"),
        (
            ("--fail-if-advantage-over", "1", "--until-decided", "--minutes", "1"),
            "--until-decided or --minutes",
        ),
    ],
    ids=str,
)
def test_refuses_conflicting_options(
    words: tuple[str, ...], says: str, audited: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    audit = ["audit", str(audited / "model.safetensors"), *OPTIONS, "--out", str(tmp_path / "new")]
    assert main([*audit, *words]) == 2
    said = capsys.readouterr()
    assert says in said.err and len(said.err.splitlines()) == 1, said.err
    assert said.out == "" and not (tmp_path / "new").exists()
