"""The examples on real data run, here on a few made-up samples in tables as users have them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import rootbound as rb
from rootbound.attacks import Budget, ExactLastLayer, FineTune, LoRA
from rootbound.cli import main
from rootbound.records import Evaluation
from rootbound.suites import Suite
from test_examples import EXAMPLES, load

hf = pytest.importorskip("datasets", reason="the extra `data` is not installed")
Image: Any = pytest.importorskip("PIL.Image", reason="the extra `data` is not installed")
transformers: Any = pytest.importorskip("transformers", reason="the extra is not installed")

pytestmark = pytest.mark.usefixtures("few_steps_of_their_own")

SECTIONS = (
    "games", "science", "sound", "graphics", "text", "net", "admin", "mail", "web", "database"
)  # fmt: skip
CIFAR_10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
)  # fmt: skip
SUITE = Suite("toy", (ExactLastLayer(1e-2), FineTune(), LoRA()), (Budget(2, 2), Budget(4, 2)))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def sections(tmp_path: Path) -> str:
    folder = tmp_path / "sections"
    folder.mkdir()
    features = hf.Features(text=hf.Value("string"), label=hf.ClassLabel(names=list(SECTIONS)))
    for part, count in (("train", 120), ("test", 30)):
        rows = range(count)
        texts = [f"tool {row % 7} for {SECTIONS[row % 10]} and {row % 3}" for row in rows]
        columns = {"text": texts, "label": [row % 10 for row in rows]}
        hf.Dataset.from_dict(columns, features).to_parquet(str(folder / f"{part}.parquet"))
    return str(folder)


@pytest.fixture
def photographs(tmp_path: Path) -> str:
    folder = tmp_path / "my photographs"
    folder.mkdir()
    features = hf.Features(img=hf.Image(), label=hf.ClassLabel(names=list(CIFAR_10)))
    generator = np.random.default_rng(0)
    for part, count in (("train", 80), ("test", 20)):
        labels = [row % 10 for row in range(count)]
        pixels = generator.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
        columns = {"img": [Image.fromarray(one) for one in pixels], "label": labels}
        hf.Dataset.from_dict(columns, features).to_parquet(str(folder / f"{part}.parquet"))
    return str(folder)


def encoder(folder: Path) -> str:
    """Return a folder with a tiny BERT and its tokeniser."""
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "tool", "for", "and", *SECTIONS]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=32,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


def check(found: Evaluation, methods: set[str]) -> None:
    assert found.complete
    assert {record.error for record in found.records} == {None}
    assert {record.method for record in found.records} == methods | {"scratch"}


@pytest.fixture
def short_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let methods that take steps of their own take a few, whatever the example says of them."""
    fewer = {
        "Schedule": {"finishing_steps": 2},
        "RepNoise": {"steps": 4, "head_steps": 2},
        "GradientAscent": {"steps": 4, "head_steps": 2},
    }
    for name, steps in fewer.items():
        whole = getattr(rb.methods, name)
        monkeypatch.setattr(
            rb.methods, name, lambda *a, _whole=whole, _steps=steps, **k: _whole(*a, **(k | _steps))
        )


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("texts", monkeypatch)


@pytest.mark.slow
@pytest.mark.usefixtures("short_methods")
def test_texts_from_scratch_example_runs(texts: ModuleType, sections: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    check(texts.from_nothing(sections, out, SUITE, epochs=1, seeds=1), {"Plain", "BestResponse"})
    rb.report.write(out)
    assert (out / "figures" / "words.svg").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures", "short_methods")
def test_texts_from_an_encoder_example_runs(
    texts: ModuleType, sections: str, tmp_path: Path
) -> None:
    found = texts.from_an_encoder(
        sections, tmp_path / "run", encoder(tmp_path / "tiny"), SUITE, epochs=1
    )
    check(found, {"public", "Plain", "BestResponse"})
    page = rb.report.write(tmp_path / "run").read_text()
    assert "trained from the weights that it came with" in page


@pytest.mark.slow
@pytest.mark.usefixtures("short_methods")
def test_language_model_example_runs(
    sections: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("language_model", monkeypatch)
    found = module.main(sections, tmp_path / "run", SUITE, epochs=1)
    check(found, {"Plain", "BestResponse"})
    rb.report.write(tmp_path / "run")
    assert (tmp_path / "run" / "figures" / "curves-loss.svg").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("short_methods")
def test_languages_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "languages"
    folder.mkdir()
    for part, count in (("train", 60), ("test", 20)):
        texts = [("a tool for games", "ein Werkzeug", "un outil")[row % 3] for row in range(count)]
        rows = {"text": texts, "language": [("en", "de", "fr")[row % 3] for row in range(count)]}
        hf.Dataset.from_dict(rows).to_parquet(str(folder / f"{part}.parquet"))
    few = Suite("toy", (ExactLastLayer(1e-2), LoRA()), (Budget(2, 2),))
    found = load("languages", monkeypatch).main(
        str(folder), "llama", str(tmp_path / "out"), few, epochs=1
    )
    ours = {"BestResponse", "BestResponse(weight=1.5)"}
    check(found, {"Plain", "RepNoise", "GradientAscent"} | ours)


RECORDING = """#!/bin/sh
for word in "$(basename "$0")" "$@"; do printf '%s\\n' "$word"; done >> "$CALLS"
echo >> "$CALLS"
"""


def called(script: str, words: list[str], folder: Path) -> list[list[str]]:
    """Return what a script calls, word for word: nothing of it is done."""
    folder.mkdir()
    for name in ("rootbound", "python"):
        (folder / name).write_text(RECORDING)
        (folder / name).chmod(0o755)
    few = {
        "EPOCHS": "1",
        **({} if script == "language_model.sh" else {"MODEL": "shallow_cnn"}),
        "ATTACK": "--suite few.py:SUITE --labels 2 --steps 2 --seeds 1 --workers 1",
    }
    places = {"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(folder / "calls")}
    given = ["sh", str(EXAMPLES / script), *words]
    done = subprocess.run(
        given, capture_output=True, text=True, check=False, env={**os.environ, **places, **few}
    )
    assert (done.returncode, done.stderr) == (0, "")
    calls = (folder / "calls").read_text().removesuffix("\n\n").split("\n\n")
    return [call.split("\n") for call in calls]


@pytest.mark.slow
@pytest.mark.parametrize("script", ["photographs.sh", "existing_model.sh", "language_model.sh"])
def test_shell_examples_run(
    script: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As a user runs it, in folders with blanks in their names, but all in this process.

    The figures of photographs are drawn here, those of language models in
    `test_language_model_example_runs`.
    """
    if script != "photographs.sh":
        request.getfixturevalue("no_figures")
    kind = "sections" if script == "language_model.sh" else "photographs"
    data = request.getfixturevalue(kind)
    other = shutil.copytree(data, tmp_path / "my clothes")
    second = [str(other)] if script == "existing_model.sh" else []
    capsys.readouterr()  # what making the data prints
    monkeypatch.chdir(Path(__file__).parent)  # of the suite
    for program, *words in called(script, [data, *second, str(tmp_path / "a run")], tmp_path / "p"):
        if program == "rootbound":
            assert main(words) == 0
        else:
            path, *rest = words
            load(Path(path).stem, monkeypatch).main(*rest)
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "from these weights" in printed.out
    check(Evaluation.load(tmp_path / "a run"), {"defended", "undefended"})
    assert (tmp_path / "a run" / "report.html").is_file()
