"""The control that learns from data of neither task."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from few import FEW
from rootbound.cli.main import main
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.methods import METHODS, GenericFeatures
from rootbound.networks import Classifier
from rootbound.report.cases import GENERIC
from rootbound.training import Recipe, accuracy

SHORT = Recipe(epochs=3, batch_size=30, learning_rate=1e-2)


def test_features_come_only_from_the_other_data(
    toy_tasks: TaskPair, toy_model: Classifier, toy_folder: Path
) -> None:
    method = GenericFeatures(SHORT, str(toy_folder))
    tasks = [toy_tasks, TaskPair.of(toy_tasks.undesirable, toy_tasks.desirable)]
    first, second = (method.fit(toy_model, pair) for pair in tasks)
    weights = [model.backbone.state_dict() for model in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(first.head.weight, second.head.weight)
    assert accuracy(first, toy_tasks.desirable.test) > 0.8


def test_refuses_missing_data(toy_tasks: TaskPair, toy_model: Classifier) -> None:
    with pytest.raises(InputError, match="data set"):
        GenericFeatures(SHORT, "nowhere").fit(toy_model, toy_tasks)


@pytest.mark.usefixtures("no_figures")
def test_generic_features_are_a_line_and_no_method(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert GenericFeatures.__name__ == GENERIC
    assert GENERIC not in METHODS
    given = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    spent = ["--labels", "2", "--steps", "3", "--seeds", "1", "--workers", "1"]
    spent += ["--epochs", "1"]
    chosen = ["--methods", "Plain", "--generic-data", str(toy_folder), *FEW]
    assert main(["compare", *chosen, *given, *spent, "--out", str(tmp_path)]) == 0
    figure = (tmp_path / "figures" / "frontier.svg").read_text()
    assert "features of unrelated data" in figure
    assert GENERIC not in figure
    assert GENERIC in (tmp_path / "leaderboard.md").read_text()
