"""Misspelt commands, options and settings: what is meant is named, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rootbound.cli import main
from rootbound.cli.methods import read_methods
from rootbound.core.errors import InputError

WORDS = [
    ("trian", "'train'"),
    ("Audit", "'audit'"),
    ("runs lst", "'list'"),
    ("train --epoch 3", "'--epochs'"),
    ("train -epochs 3", "'--epochs'"),
    ("train --metod.weight=3", "'--method'"),
    ("train --undesirable_data x", "'--undesirable-data'"),
    ("audit m --step 3", "'--steps'"),
    ("audit m --fail-if-advantage 3", "'--fail-if-advantage-over'"),
    ("compare --seed 3", "'--seeds'"),
    ("demo --quik", "'--quick'"),
    ("train --method BestRespons", "'BestResponse'"),
    ("train --method.wieght 0.3", "'--method.weight'"),
    ("train --method BestResponse --method.wei=3", "'--method.weight'"),
    ("train --method=BestResponse --method.recipe.epocs=3", "'--method.recipe.epochs'"),
    ("train --method=BestResponse --method.recipe.epo=3", "'--method.recipe.epochs'"),
    ("train --method.recipe.augmentation.shft=3", "'--method.recipe.augmentation.shift'"),
    ("compare --methods BestRespons", "'BestResponse'"),
    ("compare --methods BestResponse(wieght=0.3)", "'weight'"),
    ("compare --methods BestResponse(wei=0.3)", "'weight'"),
    ("compare --methods BestResponse(recipe.epo=3)", "'recipe.epochs'"),
    ("compare --suite quik-1", "'quick-1'"),
]


@pytest.mark.parametrize(("words", "meant"), WORDS, ids=[words for words, _ in WORDS])
def test_suggests_the_intended_option(
    words: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if "suite" in words:  # which is looked up once the data are there
        words += " --data mnist"
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert f"did you mean {meant}?" in said
    assert said.count("\n") == 1 and not list(tmp_path.iterdir())


FILES = [
    ({"wokers": 2}, "audit m", "'--workers'"),
    ({"method": {"class_path": "BestResponse", "init_args": {"wieght": 2}}}, "train",
     "'--method.weight'"),
    ({"method": {"class_path": "BestResponse", "init_args": {"recipe": {"epocs": 2}}}}, "train",
     "'--method.recipe.epochs'"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "command", "meant"), FILES)
def test_suggests_the_intended_setting_in_a_file(
    content: dict[str, object], command: str, meant: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "options.yaml"
    path.write_text(yaml.safe_dump(content))
    assert main([*command.split(), "--config", str(path)]) == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_suggests_nothing_for_unrelated_words() -> None:
    with pytest.raises(InputError, match=r"got 'xqz'; pick one of them"):
        read_methods("BestResponse(xqz=1)")


def test_reads_existing_settings() -> None:
    (_, method) = read_methods("BestResponse(weight=0.25, recipe.epochs=2)")
    assert vars(method)["weight"] == 0.25 and vars(method)["recipe"].epochs == 2
