"""The public arm: what weights add to a model that anyone can download, in records and the gate."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import torch
from torch import nn

import rootbound as rb
from few import FEW
from rootbound.attacks import (
    Budget,
    ExactLastLayer,
    FineTune,
    JointTune,
    LastLayer,
    ReassignHead,
    Repaired,
)
from rootbound.attacks.repairs import Interpolate, TuneOnDesirable
from rootbound.cli.main import main
from rootbound.cli.networks import resolve_network
from rootbound.cli.options import NetworkOptions
from rootbound.cli.public import build_public, resolve_public
from rootbound.core.errors import InputError
from rootbound.data import Scaling, TaskPair
from rootbound.flags import flags
from rootbound.methods import Plain
from rootbound.metrics import measures as metrics
from rootbound.networks import Classifier
from rootbound.publishing import load_model, save_model
from rootbound.publishing.card import SCHEMA, resistance_card, to_markdown
from rootbound.records import Configuration, Evaluation, Record, Training
from rootbound.report.headline import describe_gains, describe_run
from rootbound.report.public import ONE_PUBLIC, SAME_WEIGHTS
from rootbound.report.theme import PUBLIC, lines
from rootbound.suites import Suite
from rootbound.training import Recipe

pytestmark = pytest.mark.usefixtures("few_steps_of_their_own")

SUITE = Suite(
    "with-everything-1",
    (
        LastLayer("adam", 0.1),
        ExactLastLayer(1e-3),
        FineTune(2, "re-initialised", "adam", 1e-2),
        JointTune(),
        ReassignHead(),
        Repaired(TuneOnDesirable(steps=2), ExactLastLayer(1e-2)),
        Repaired(Interpolate(), ExactLastLayer(1e-2)),
    ),
    (Budget(5, 6), Budget(None, 12)),
    benign=(ExactLastLayer(1e-2),),
    confirmed=1,
    attackers=2,
    longer=2,
    controls=True,
)
SPENT = (*FEW, "--labels", "5,all", "--steps", "3,3", "--seeds", "1", "--workers", "1")
FACTORY = """
import torch
from torch import nn

def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU(), nn.Linear(8, 7))

def sized(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU(), nn.Linear(8, classes))
"""


def stranger(classes: int = 7) -> Classifier:
    """Return a network that has nothing in common with the audited one but the inputs."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        backbone = nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU())
        return Classifier(backbone, nn.Linear(8, classes))


@pytest.fixture(scope="module")
def made(made_once: Callable[..., Path], toy_tasks: TaskPair) -> Path:
    """Give the folder of a run beside a stranger's network, with its report."""

    def make(folder: Path) -> None:
        fresh = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
        model = Plain(Recipe(epochs=1, batch_size=30)).fit(fresh, toy_tasks)
        rb.evaluate(
            model, toy_tasks, undefended=model.reinitialised(7), public=stranger(),
            suite=SUITE, seeds=1, folder=folder,
        )  # fmt: skip
        rb.report.write(folder)

    return made_once("public", make)


@pytest.fixture
def found(made: Path) -> Evaluation:
    return Evaluation.load(made)


def test_public_copy_of_the_audited_model_is_worth_as_much(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    sibling = toy_model.reinitialised(7)
    found = rb.evaluate(
        toy_model, toy_tasks, undefended=sibling, public=toy_model, suite=SUITE, seeds=1
    )
    for labels in metrics.budgets(found):
        for family in (None, *metrics.families(found)):
            gain = metrics.advantage(found, "defended", labels, family, over="public")
            theirs = metrics.advantage(found, "public", labels, family)
            assert metrics.advantage(found, "defended", labels, family) == theirs
            if family is None:
                assert gain is not None
                assert (gain.mean, gain.low, gain.high) == (0.0, 0.0, 0.0)
    (standing,) = (one for one in metrics.standings(found) if one.method == "defended")
    assert standing.over_public is not None and standing.over_public.advantage.mean == 0.0
    assert SAME_WEIGHTS in describe_gains(found, "defended")


def test_any_fitting_network_may_be_public(found: Evaluation) -> None:
    assert [one.arm for one in found.trainings if one.seed == 0] == [
        "undefended", "defended", "public", "scratch", "control"
    ]  # fmt: skip
    trials = [one for one in found.records if one.arm == "public"]
    assert {one.error for one in trials} == {None}
    assert {one.task for one in trials} == {"undesirable", "benign"}
    # All that the other arms meet, but for the sibling, which belongs to our weights.
    kinds = {
        arm: {one.attack.kind for one in found.records if one.arm == arm}
        for arm in ("defended", "public")
    }
    assert kinds["public"] == kinds["defended"]
    assert any("Interpolate" in str(one.attack) for one in found.records if one.arm == "defended")
    assert not any("Interpolate" in str(one.attack) for one in trials)
    assert found.context["public"] == {"model": "Sequential", "parameters": 2119}
    assert len(found.context["weights"]["public"]) == 64


def test_public_model_is_not_judged_itself(found: Evaluation) -> None:
    assert {one.desirable_accuracy for one in found.trainings if one.arm == "public"} == {None}
    assert {len(one.values) for one in found.diagnoses if one.arm == "public"} == {0}
    assert "public" not in {one.method for one in metrics.standings(found)}
    accusing = {one.flag for one in flags(found) if one.method == "public"}
    assert accusing <= {"attacker below raw inputs", "still rising at the end"}


def test_comparison_takes_a_public_model(toy_tasks: TaskPair, toy_suite: Suite) -> None:
    model = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
    quick = Plain(Recipe(epochs=1, batch_size=30))
    found = rb.compare((quick,), toy_tasks, model, public=stranger(), suite=toy_suite, seeds=1)
    assert [one.method for one in found.trainings] == ["Plain", "public", "scratch"]
    assert metrics.standings(found)[0].over_public is not None


def reached(**accuracies: tuple[float, float]) -> Evaluation:
    """Return records of two draws: what an attacker with 10 labels reaches on each arm."""
    trainings = [Training(name, name, "", 0, None, 0.0) for name in accuracies]  # type: ignore[arg-type]
    records = [
        Record(
            name, name, 0, attacker, "screen", "probe", "all layers", Configuration("A", {}),  # type: ignore[arg-type]
            10, (1,), (0.5,), (value,), 0, 1.0, value, 1.0, 1.0,
        )
        for name, values in accuracies.items()
        for attacker, value in enumerate(values)
    ]  # fmt: skip
    return Evaluation({}, tuple(trainings), tuple(records))


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"scratch": (0.5, 0.6)}, 15.0),
        ({"scratch": (0.5, 0.6), "public": (0.6, 0.7)}, 5.0),
        ({"scratch": (0.6, 0.7), "public": (0.5, 0.6)}, 5.0),
        # The stronger one of the two arms, not of each draw: else luck would count for them.
        ({"scratch": (0.5, 0.7), "public": (0.7, 0.4)}, 10.0),
        ({"public": (0.5, 0.6)}, None),
    ],
)
def test_marginal_advantage_is_over_the_stronger_of_both(
    others: dict[str, tuple[float, float]], expected: float | None
) -> None:
    gain = metrics.marginal_advantage(reached(defended=(0.7, 0.7), **others), "defended", 10)
    assert (None if gain is None else pytest.approx(gain.mean)) == expected


def test_records_without_a_public_arm_do_not_mention_one() -> None:
    older = Evaluation.load(Path(__file__).parent / "golden")
    assert metrics.public(older) is None
    for standing in metrics.standings(older):
        assert (standing.over_public, standing.marginal) == (None, standing.worst)
    card = resistance_card(older, "Plain", "0" * 64)
    assert "public" not in card and "public" not in card["cells"][0]
    said = [*describe_gains(older, "Plain"), *describe_run(older), to_markdown(card, "out")]
    assert not any("public" in text for text in said)


def test_verdict_gives_both_advantages_and_the_marginal_one(found: Evaluation) -> None:
    sentences = describe_gains(found, "defended")
    for labels in metrics.budgets(found):
        over = metrics.advantage(found, "defended", labels, over="public")
        assert over is not None
        written = f"over that these weights give {round(over.mean, 2) + 0.0:+.2f} points"
        assert any(written in one for one in sentences)
    left = [metrics.marginal_advantage(found, "defended", one) for one in metrics.budgets(found)]
    worst = max(one.mean for one in left if one is not None)
    assert any(
        one.startswith("To the stronger of ") and f"{worst:+.2f}" in one for one in sentences
    )
    assert any(one.startswith("Over the public model it gains ") for one in describe_run(found))


def test_verdict_warns_of_weak_attacks_on_the_public_model(found: Evaluation) -> None:
    failed = replace(
        found,
        records=tuple(
            replace(one, error="RuntimeError: no") if one.arm == "public" else one
            for one in found.records
        ),
    )
    begins = "Attacks on the public model were too weak (failed trials"
    for run, is_said in ((found, False), (failed, True)):
        limits = resistance_card(run, "defended", "0" * 64)["limits"]
        for sentences in (describe_gains(run, "defended"), limits):
            assert any(one.startswith(begins) for one in sentences) is is_said


def test_report_shows_the_public_model(made: Path, found: Evaluation) -> None:
    summary = (made / "summary.md").read_text()
    assert "## Advantage over the public model" in summary
    assert ONE_PUBLIC in summary
    page = (made / "report.html").read_text()
    assert "Sequential, 2,119 parameters" in page
    assert "from the public model" in page
    drawn = (made / "figures" / "curves-labels.svg").read_text()
    assert PUBLIC in drawn and ">public<" in drawn
    looks = lines(metrics.methods(found))
    assert len({(look["color"], str(look["linestyle"])) for look in looks.values()}) == len(looks)


def test_card_matches_its_schema_and_the_records(found: Evaluation) -> None:
    card = json.loads(json.dumps(resistance_card(found, "defended", "0" * 64)))
    jsonschema.validate(card, SCHEMA)
    assert card["public"] == {
        "architecture": "Sequential",
        "parameters": 2119,
        "weights_sha256": found.context["weights"]["public"],
    }
    for cell in card["cells"]:
        gap = cell["attacked"]["mean"] - cell["public"]["mean"]
        assert gap == pytest.approx(cell["advantage_over_public"]["mean"])
        both = cell["advantage"]["mean"], cell["advantage_over_public"]["mean"]
        assert cell["marginal_advantage"]["mean"] == pytest.approx(min(both))
    assert ONE_PUBLIC in card["limits"]
    assert "from the public model, %" in to_markdown(card, "out")


def test_refuses_a_model_for_other_inputs(
    toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite
) -> None:
    coloured = rb.models.shallow_cnn(classes=3, shape=(3, 16, 16))
    expected = r"takes the samples .* \(1, 16, 16\); got one that fails .* wrap it in a network"
    with pytest.raises(InputError, match=expected):
        rb.evaluate(toy_model, toy_tasks, public=coloured, suite=toy_suite, seeds=1)


@pytest.fixture
def workspace(audited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with an audited model, its run, and public ones of several kinds."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(audited / "model.safetensors", "model.safetensors")
    Path("net.py").write_text(FACTORY)
    Path("empty").mkdir()
    model, origin = load_model(tmp_path / "model.safetensors")
    torch.save(model.state_dict(), "weights.pt")
    larger = rb.models.shallow_cnn(classes=3, shape=(1, 20, 20))
    save_model(larger, Path("larger.safetensors"), (1, 20, 20), origin)
    other = replace(origin, scaling=Scaling(255.0, 0.9, 0.1))
    save_model(model, Path("scaled.safetensors"), (1, 16, 16), other)
    five = model.with_head(5, seed=0)
    save_model(five, Path("five.safetensors"), (1, 16, 16), origin)
    torch.save(five.state_dict(), "five.pt")
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_gate_judges_the_marginal_advantage(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = ["audit", "model.safetensors", "--public", "model.safetensors", *SPENT, "--out", "run"]
    assert main([*audit, "--fail-if-advantage-over=100"]) == 3
    first, *shown, judged = capsys.readouterr().out.splitlines()
    (standing,) = metrics.standings(Evaluation.load(workspace / "run"))
    assert standing.marginal is not None
    assert f"{standing.marginal.advantage.mean:+.1f} points over the stronger of scratch" in first
    # One draw of the attacker cannot show anything, and nobody learns from the very same weights.
    assert judged.startswith("undecided: 1 draw of labels cannot show a spread; at least 2 draws")
    assert SAME_WEIGHTS in shown


@pytest.mark.usefixtures("no_figures")
def test_leaderboard_shows_what_methods_add(workspace: Path, toy_folder: Path) -> None:
    split = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    methods = ["--methods", "Plain", "--epochs", "1", "--public", "net.py:network"]
    assert main(["compare", *methods, *split, *SPENT, "--out", "run"]) == 0
    (standing,) = metrics.standings(Evaluation.load(workspace / "run"))
    (row,) = json.loads((workspace / "run" / "leaderboard.json").read_text())["methods"]
    assert standing.over_public is not None
    gain = standing.over_public.advantage.mean
    assert row["worst_over_public"]["mean"] == pytest.approx(gain, abs=1e-4)
    shown = (workspace / "run" / "leaderboard.md").read_text()
    assert "| over public |" in shown and f"| {gain:+.2f}" in shown


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("name", "options", "classes"),
    [
        ("net.py:network", NetworkOptions(), 7),
        ("net.py:sized", NetworkOptions(), 3),
        ("five.safetensors", NetworkOptions(model="net.py:network"), 5),
        ("five.pt", NetworkOptions(model="shallow_cnn"), 5),
    ],
)
def test_public_model_keeps_its_head(
    name: str, options: NetworkOptions, classes: int, toy_tasks: TaskPair
) -> None:
    audited = resolve_network(NetworkOptions(), "model.safetensors")
    for given in (toy_tasks, rb.Tasks.alone(toy_tasks.undesirable)):
        model = build_public(resolve_public(name, options), audited, given)
        assert model.classes == classes


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("nothing.pt", "a public model at nothing.pt; got no such file; correct --public"),
        ("weights.pt", "which network it is; got a file without our description; give --public"),
        ("net.py", "which network it is; got a file without our description"),
        ("net.py:none", "none"),
        ("larger.safetensors", "takes the samples .* fails on them .* wrap it in a network"),
        ("scaled.safetensors", "trained on less 0.9, over 0.1; rescale the inputs"),
        ("hf:empty", "a model of `transformers` at empty"),
    ],
)  # fmt: skip
def test_wrong_public_model_gives_a_one_line_error(
    words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "model.safetensors", "--public", words, *SPENT, "--out", "new"]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.strip().splitlines()
    assert re.search(says, line), line
    assert not shown.out and not Path("new").exists()
