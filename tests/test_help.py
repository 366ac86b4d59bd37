"""What `--help` and `--help-all` say: one screen, every option, each default once."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from rootbound.cli import help as shown
from rootbound.cli import main
from rootbound.cli.described import Described, describe
from rootbound.cli.main import COMMANDS, load_command
from rootbound.cli.networks import MODEL
from rootbound.cli.tasks import DATA
from rootbound.datasets import Layout
from rootbound.datasets.holdout import SHARE
from rootbound.methods import METHODS
from rootbound.suites import SUITES
from rootbound.suites.suite import MOST_DRAWS

each = pytest.mark.parametrize("command", COMMANDS)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def options(command: str) -> list[Described]:
    return list(describe(load_command(command).Options))


@each
def test_help_fits_on_a_screen(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, command, "--help").splitlines()
    assert len(lines) <= shown.SCREEN == 40
    examples = [line for line in lines if line.startswith("  rootbound ")]
    assert max(len(line) for line in lines if line not in examples) <= 80
    assert max(map(len, examples), default=0) <= 100


@each
def test_short_and_long_help_name_every_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    brief, full = said(capsys, command, "--help"), said(capsys, command, "--help-all")
    assert said(capsys, command, "-h") == brief
    for one in options(command):
        name = shown.synopsis(one).split()[0] if one.flag not in full else one.flag
        assert name in brief, name
        assert name in full, name


@each
def test_long_help_explains_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    full = " ".join(said(capsys, command, "--help-all").split())
    for one in options(command):
        assert one.text.removesuffix(".") in full
        assert one.text.endswith("."), one.text


@each
def test_help_states_each_default_once_in_words(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for asked in ("--help", "--help-all"):
        text = said(capsys, command, asked)
        assert not re.search(r"\(type|null|None|False", text)
        for entry in re.split(r"\n  (?=\S)", text):
            assert entry.count("(default:") <= 1, entry


def test_group_defaults_match_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert "(default: quick-2)" in said(capsys, "audit", "--help")
    assert "(default: demo-2)" in said(capsys, "demo", "--help")
    assert re.search(r"--seed SEED +Seed .* \(default: 0\)\.", said(capsys, "train", "--help-all"))
    assert "(default: 10)." in said(capsys, "train", "--help-all")


def test_worded_defaults_match_the_real_ones() -> None:
    text = {one.flag: one.text for one in options("audit")}
    assert f"the model's own, or {SHARE})" in text["--holdout"]
    assert f"the model's own, or {Layout.length})" in text["--length"]
    assert f"names, or {DATA})" in text["--data"]
    assert f"names, or {MODEL})" in text["--model"]
    assert f"(default: {MOST_DRAWS})" in text["--draws"]
    # Of all draws but the first, which chooses the settings that meet the others.
    few, ten, *more = SUITES["standard-2"].draws
    assert f"{ten - 1} with up to 10 labels per class, {more[0] - 1} with" in text["--attackers"]
    assert few == ten - 1 and len(set(more)) == 1


def test_examples_use_existing_options() -> None:
    for command in COMMANDS:
        flags = {one.flag for one in options(command)}
        for example in getattr(load_command(command), "EXAMPLES", ()):
            assert example.startswith(f"rootbound {command} ")
            assert set(re.findall(r"--[a-z-]+", example)) <= flags, example


def test_misspelt_option_points_to_the_long_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "x", "--help-al"]) == 2
    assert "--help-all" in capsys.readouterr().err


@pytest.mark.parametrize("method", METHODS)
def test_method_help_explains_each_setting(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "train", "--method.help", method)
    assert text == said(capsys, "train", f"--method.help={method}")
    assert text.startswith(f"{method}: ")
    assert not re.search(r"\(type|null|None|MISSING|<", text)
    assert max(map(len, text.splitlines())) <= 80
    plain = METHODS[method]()
    for part in fields(plain):
        value = getattr(plain, part.name)
        if not is_dataclass(value):
            (entry,) = re.findall(rf"--method\.{part.name} .*?(?=\n  --|\n\n|\Z)", text, re.S)
            assert "efault" in entry or value is None, entry
            assert len(entry.split()) > 4, entry


def test_method_help_works_for_user_methods(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "import rootbound as rb\n"
        "@dataclass(frozen=True)\n"
        "class Own(rb.LossMethod):\n"
        "    strength: float = 0.5\n"
        "    def loss(self, model, desirable, undesirable, progress):\n"
        "        return model(desirable[0]).sum()\n"
    )
    text = said(capsys, "train", "--method.help", f"{path}:Own")
    assert re.search(r"--method.strength NUMBER\s+Default: 0\.5\.", text)
    assert "Undesirable samples in a step (default: 128)." in " ".join(text.split())
    assert said(capsys, "train", "--method.help").startswith("BestResponse: ")


@pytest.mark.parametrize("named", ["BestRespons", "own.py:Nothing", f"{__file__}:narrow"])
def test_method_help_refuses_other_classes(named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--method.help", named]) != 0
    said_of_it = capsys.readouterr().err
    assert said_of_it.count("\n") == 1 and "expected" in said_of_it
