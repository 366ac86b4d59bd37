"""Texts from a table to a report: trained, attacked, and shown with nothing of theirs believed."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from few import FEW
from rootbound import report
from rootbound.attacks import Budget, FineTune, LastLayer
from rootbound.cli import main
from rootbound.data import mapped
from rootbound.datasets.texts import Labelled, Texts
from rootbound.evaluation import evaluate
from rootbound.methods import BestResponse, Plain, Schedule
from rootbound.networks import Classifier, small_text
from rootbound.publishing import load_model
from rootbound.records import Evaluation
from rootbound.suites import Suite
from rootbound.training import Recipe
from timeless import timeless

pytestmark = pytest.mark.usefixtures("few_steps_of_their_own")

hf = pytest.importorskip("datasets", reason="the extra `data` is not installed")

EVIL = "<img src=x>"
NAMES = (EVIL, "müsli", "c & d", "<script>alert(1)</script>")
WORDS = ("games 遊戯", "mail <b>server", "web &amp; page", "net ]]> work")
SPENT = [*FEW, "--labels", "5,all", "--steps", "2,2", "--seeds", "1", "--workers", "1"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def write(folder: Path, count: int = 40, padding: str = "") -> Path:
    """Write a table of four classes, some of its texts empty or very long."""
    folder.mkdir(parents=True)
    for part, rows in (("train", count), ("test", 6)):
        with (folder / f"{part}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["words", "kind"])
            for row in range(4 * rows):
                text = f"{WORDS[row % 4]} {row % 7}{padding}"
                text = {9: " ", 14: "x" * 100_000}.get(row, text)
                writer.writerow([text, NAMES[row % 4]])
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "my texts ü <b>")


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    code = main([str(one) for one in arguments])
    written = capsys.readouterr()
    assert (code, written.err) == (0, ""), written.err
    return written.out


def options(table: Path) -> list[str]:
    wanted, unwanted = f"müsli,{EVIL}", "c & d,<script>alert(1)</script>"
    return [
        *("--data", str(table), "--input-column", "words", "--label-column", "kind"),
        *("--desirable", wanted, "--undesirable", unwanted),
    ]


def test_table_leads_to_a_report(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, folder = tmp_path / "a model.safetensors", tmp_path / "run ü"
    shared = ("--model", "small_text", "--epochs", "1")
    run(capsys, "train", *options(table), *shared, "--out", model, "--seed", "3")
    run(capsys, "audit", model, *SPENT, "--out", folder)
    page = (folder / "report.html").read_text()
    for name in (EVIL, NAMES[3]):
        assert name not in page
    assert "&lt;img src=x&gt;" in page
    assert "test samples" in page and "test image" not in page
    evaluation = Evaluation.load(folder)
    assert evaluation.context["desirable"]["classes"] == ["müsli", EVIL]
    assert {one.error for one in evaluation.records} == {None}
    shown = {path.stem for path in (folder / "figures").iterdir()}
    assert "words" in shown and "grad-cam" not in shown and "curves-loss" not in shown


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_run_with_texts_in_a_file_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOTBOUND_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(mapped, "SMALL", -1)
    table = write(tmp_path / "texts")
    found = []
    for name, more in (("here", ()), ("there", ("--in-memory", "0"))):
        model, folder = tmp_path / f"{name}.safetensors", tmp_path / name
        shared = ("--model", "small_text", "--epochs", "1", *more)
        run(capsys, "train", *options(table), *shared, "--out", model)
        run(capsys, "audit", model, *options(table)[:6], *SPENT, *more, "--out", folder)
        found.append((model.read_bytes(), timeless(Evaluation.load(folder))))
    assert len(list((tmp_path / "kept").glob("*.npy"))) == 4
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("said", "length"),
    [
        pytest.param((), 4, marks=pytest.mark.slow),
        (("--length", "2"), 2),
        (("--label-column", "mood"), None),
    ],
    ids=["as trained", "another length", "another column"],
)
@pytest.mark.usefixtures("no_figures")
def test_reads_texts_as_in_training(
    said: tuple[str, ...],
    length: int | None,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, again = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    shared = ("--method", "Plain", "--epochs", "1")
    parts = ("--train-split", "train[:90%]", "--test-split", "test")
    network = ("--model", "small_text", "--length", "4", *parts)
    run(capsys, "train", *options(table), *network, *shared, "--out", model)
    audit = ["audit", str(model), *said, *SPENT, "--out", str(tmp_path / "run")]
    if length is None:
        assert main(audit) == 2
        assert "'mood'" in capsys.readouterr().err, "what is said comes before what is known"
        return
    run(capsys, *audit)
    assert Evaluation.load(tmp_path / "run").context["undesirable"]["inputs"]["shape"] == [length]
    run(capsys, "train", "--from", model, *options(table)[6:], *said, *shared, "--out", again)
    before, after = load_model(model)[1], load_model(again)[1]
    assert after == replace(before, length=length)


@pytest.mark.slow
def test_model_continues_with_texts_of_another_length(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    longer = write(tmp_path / "longer", padding=" and so on, and on")
    run(capsys, "train", *options(table), "--model", "small_text", "--epochs", "1", "--out", first)
    run(capsys, "train", "--from", first, *options(longer), "--epochs", "1", "--out", second)
    before, after = (load_model(path)[0] for path in (first, second))
    assert isinstance(after, Classifier)
    shapes = [
        {name: value.shape for name, value in one.state_dict().items()} for one in (before, after)
    ]
    assert shapes[0] == shapes[1]


def test_refuses_labels_with_a_decimal_point(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "zoo"
    folder.mkdir()
    for part in ("train", "test"):
        (folder / f"{part}.csv").write_text("words,kind\none,0.5\ntwo,1.5\n")
    code = main(["train", "--data", str(folder), "--label-column", "kind", "--model", "small_text"])
    written = capsys.readouterr()
    assert code == 2 and len(written.err.splitlines()) == 1
    assert "'kind'" in written.err and "float64" in written.err


def test_image_model_refuses_texts(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *options(table)]) == 2
    assert "images of (channels, height, width)" in capsys.readouterr().err


def test_last_steps_take_texts_of_any_length() -> None:
    """Desirable texts fill several batches of different lengths; undesirable ones are longer."""
    words = ["one two", "three four five", *["six"] * 1022, "seven", "eight nine ten", *["x"] * 6]
    texts = (*words, *["a longer text of words"] * 16)
    labels = torch.arange(len(texts)) % 2 + 2 * (torch.arange(len(texts)) >= len(words))
    part = Labelled(texts, labels)
    tasks = Texts("lengths", ("a", "b", "c", "d"), part, part).tokenised().split([0, 1], [2, 3])
    model = small_text(2, tasks.desirable.train.shape, width=32, vocabulary=64)
    method = BestResponse(Recipe(epochs=1, batch_size=512), 8, schedule=Schedule(finishing_steps=1))
    assert method.fit(model, tasks).classes == 2


def language() -> Texts:
    def part(count: int) -> Labelled:
        texts = tuple(("abcab", "bbcda")[row % 2] * 3 for row in range(count))
        return Labelled(texts, torch.arange(count) % 2)

    return Texts("letters", ("first", "second"), part(40), part(10))


def test_language_model_is_reported_by_loss(tmp_path: Path) -> None:
    tasks = language().next_letters([0], [1], context=6)
    classes = len(tasks.desirable.classes)
    model = small_text(classes, (6,), vocabulary=classes, width=32)
    fitted = Plain(Recipe(epochs=1, batch_size=50, learning_rate=1e-2)).fit(model, tasks)
    suite = Suite(
        "letters-1", (LastLayer("adam", 0.03), FineTune()), (Budget(4, 6), Budget(None, 6))
    )
    found = evaluate(fitted, tasks, suite=suite, seeds=1, workers=1, folder=tmp_path)
    assert found.context["undesirable"]["stratified"] is False
    read = Evaluation.load(tmp_path)
    best: dict[str, float] = {}
    for record in read.records:
        losses = [loss for loss in record.losses if loss is not None]
        assert record.error is None
        assert len(losses) == len(record.steps) == len(record.test)
        assert all(0 < loss < 100 for loss in losses)
        if record.labels is None:
            best[record.arm] = min(losses)
    assert best["defended"] < torch.tensor(float(classes)).log()
    report.write(tmp_path)
    assert (tmp_path / "figures" / "curves-loss.svg").is_file()
    assert "test image" not in (tmp_path / "report.html").read_text()
