"""Attacks where only the undesirable task is known: nothing is said of what nobody measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import torch

import rootbound as rb
from few import FEW
from rootbound.attacks import Budget, ExactLastLayer, FineTune, JointTune, Repaired
from rootbound.attacks.repairs import TuneOnDesirable
from rootbound.cli.main import main
from rootbound.networks import shallow_cnn
from rootbound.publishing.card import SCHEMA, resistance_card, to_markdown
from rootbound.records import Evaluation
from rootbound.report.headline import describe_gains
from rootbound.report.settings import UNKNOWN_PURPOSE
from rootbound.suites import Suite
from toy import toy_dataset

FACTORY = """
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU(), nn.Linear(8, 4))
"""
SUITE = Suite(
    "toy",
    (
        ExactLastLayer(1e-2),
        FineTune(),
        JointTune(),
        Repaired(TuneOnDesirable(steps=1), ExactLastLayer(1e-2)),
    ),
    (Budget(4, 2),),
    benign=(ExactLastLayer(1e-2),),
    controls=True,
)
SPENT = (*FEW, "--labels", "2", "--steps", "2", "--seeds", "1", "--workers", "1", "--out", "run")


@pytest.fixture(scope="module")
def run(made_once: Callable[..., Path]) -> Path:
    """A folder with records, pictures and report."""
    return made_once("undesirable-alone", evaluate_and_report)


def evaluate_and_report(folder: Path) -> None:
    tasks = rb.Tasks.alone(toy_dataset().task([3, 4, 5]))
    # A head for as many classes as it likes: nobody says how many there should be.
    model = shallow_cnn(4, (1, 16, 16))
    rb.evaluate(model, tasks, undefended=model, suite=SUITE, seeds=2, folder=folder)
    rb.report.write(folder)


def test_skips_attacks_that_need_desirable_samples(run: Path) -> None:
    found = Evaluation.load(run)
    assert found.complete
    assert {one.error for one in found.records} == {None}
    assert {one.task for one in found.records} == {"undesirable"}
    assert not any(
        "esirable" in str(one.attack) or "Joint" in one.attack.kind for one in found.records
    )
    assert (found.context["left_out"], found.context["trials"]) == (2, 2)
    assert {one.desirable_accuracy for one in found.trainings} == {None}
    assert {one.arm for one in found.trainings} >= {"defended", "undefended", "scratch"}
    measured = {name for one in found.diagnoses for name in one.values}
    assert "dead_units_undesirable" in measured
    assert not any(name.endswith("_desirable") for name in measured)


def test_attacker_holds_all_samples(run: Path) -> None:
    task = Evaluation.load(run).context["undesirable"]
    assert task["training_samples"] == len(toy_dataset().task([3, 4, 5]).train)


@pytest.mark.parametrize("name", ["report.html", "summary.md"])
def test_report_says_what_was_not_given(name: str, run: Path) -> None:
    words = (run / name).read_text()
    assert UNKNOWN_PURPOSE in words
    assert "not given" in words
    assert "good at" not in words
    assert "None" not in words


def test_pictures_show_the_undesirable_task(run: Path) -> None:
    figure = (run / "figures" / "grad-cam.svg").read_text()
    assert "undesirable, retrained head" in figure
    assert ">desirable, original head" not in figure


def test_verdict_and_card_do_not_mention_a_desirable_task(run: Path) -> None:
    found = Evaluation.load(run)
    assert UNKNOWN_PURPOSE in describe_gains(found, "defended")
    card = json.loads(json.dumps(resistance_card(found, "defended", "0" * 64)))
    jsonschema.validate(card, SCHEMA)
    assert card["desirable"] is None
    assert UNKNOWN_PURPOSE in card["limits"]
    assert "nothing is known" in to_markdown(card, "place")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder with files of weights alone, and the code of a network."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(FACTORY)
    namespace: dict[str, type] = {}
    torch.save(shallow_cnn(3, (1, 16, 16)).state_dict(), "named.pt")
    exec(FACTORY, namespace)
    torch.save(namespace["network"]().state_dict(), "own.pt")


OWN, NAMED = ("own.pt", "net.py:network"), ("named.pt", "shallow_cnn")


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    ("model", "told", "desirable", "undesirable"),
    [
        (OWN, "--undesirable-data DATA", None, 6),
        (NAMED, "--undesirable-data DATA", None, 6),
        (NAMED, "--undesirable-data DATA --undesirable 3-5", None, 3),
        (NAMED, "--data DATA --undesirable 3-5", None, 3),
        (NAMED, "--data DATA --undesirable 3-5 --desirable 0-2", 3, 3),
    ],
    ids=lambda one: one if isinstance(one, str) else None,
)
@pytest.mark.usefixtures("no_figures")
def test_command_line_takes_undesirable_data_alone(
    model: tuple[str, str],
    told: str,
    desirable: int | None,
    undesirable: int,
    toy_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = told.replace("DATA", str(toy_folder)).split()
    assert main(["audit", model[0], "--model", model[1], *given, *SPENT]) == 0
    assert ("was not said" in capsys.readouterr().out) == (desirable is None)
    context = Evaluation.load("run").context
    wanted = context["desirable"]
    assert (wanted and len(wanted["classes"])) == desirable
    assert len(context["undesirable"]["classes"]) == undesirable


@pytest.mark.usefixtures("weights")
def test_asks_for_the_number_of_classes(
    toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--model", "shallow_cnn", "--undesirable-data", str(toy_folder)]
    assert main(["audit", "own.pt", *given, *SPENT]) == 2
    assert "--desirable" in capsys.readouterr().err
    assert not Path("run").exists()
