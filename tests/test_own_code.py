"""A method, an attack and a network in files of the user's, named on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootbound.cli import main
from rootbound.records import Evaluation

OWN = """
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import rootbound as rb
from rootbound.data import Batch


@dataclass(frozen=True)
class Shrink(rb.LossMethod):
    strength: float = 0.5

    def loss(
        self, model: rb.Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        task = cross_entropy(model(desirable[0]), desirable[1])
        return task + self.strength * model.features(undesirable[0]).square().mean()


@dataclass(frozen=True)
class Step(rb.Attack):
    rate: float = 0.1

    def transfer(self, model: rb.Classifier, attacker: rb.Attacker) -> Iterator[rb.Snapshot]:
        optimiser = torch.optim.SGD(model.parameters(), self.rate)
        for step, (inputs, labels) in enumerate(attacker.batches(8), start=1):
            optimiser.zero_grad()
            cross_entropy(model(inputs), labels).backward()
            optimiser.step()
            yield rb.Snapshot(step, model)


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 16), nn.ReLU(), nn.Linear(16, 3))


def suite() -> rb.Suite:
    return rb.Suite("own-1", (Step(), Step(0.3)), (rb.Budget(5, 3),))


kept = suite()
"""
COMPARE = ("compare", "--desirable", "0-2", "--undesirable", "3-5", "--epochs", "1", "--seeds", "1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_all_three_in_a_comparison(
    workers: str, place: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["--methods", "own.py:Shrink", "--model", "own.py:network", "--suite", "own.py:suite"]
    command = [*COMPARE, "--data", str(toy_folder), *own, "--workers", workers, "--out", "run"]
    assert main(command) == 0, capsys.readouterr().err
    found = Evaluation.load(place / "run")
    assert [one.method for one in found.trainings] == ["Plain", "Shrink", "scratch"]
    assert {str(one.attack) for one in found.records} == {"Step(rate=0.1)", "Step(rate=0.3)"}
    assert all(one.error is None for one in found.records)
    assert found.context["suite"] == "own-1"
    # The suite has no exact last layer: what it found is told all the same.
    said = capsys.readouterr().out
    assert "the model trained with Shrink classifies" in said, said
    assert "points with 5 labels a class" in said, said
    board = (place / "run" / "leaderboard.md").read_text()
    assert "Shrink" in board and "every trial failed" not in board


@pytest.mark.usefixtures("no_figures")
def test_all_means_all_and_more_may_follow(
    place: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*COMPARE, "--data", str(toy_folder), "--suite", "own.py:kept", "--workers", "1"]
    assert main([*command, "--methods", "all,own.py:Shrink,NTL", "--out", "run"]) == 2
    assert "every method once" in capsys.readouterr().err
    assert main([*command, "--methods", "NTL,own.py:Shrink", "--out", "run"]) == 0
    assert "Shrink" in (place / "run" / "leaderboard.md").read_text()
