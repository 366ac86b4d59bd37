"""A method, an attack and a network in files of the user's, named on the command line."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import rootbound as rb
from rootbound.cli import main
from rootbound.core.errors import InputError
from rootbound.core.user_code import CarriedCode, list_loaded_code, load_code, load_named
from rootbound.data import TaskPair
from rootbound.evaluation.contenders import Contender
from rootbound.evaluation.context import build_specification
from rootbound.networks import Classifier
from rootbound.records import Evaluation
from rootbound.training import seeded

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


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(256, 8), nn.Linear(8, 3)

    def forward(self, inputs):
        return self.head(self.layer(inputs.flatten(1)).relu())
"""


def test_other_code_with_the_same_weights_is_another_run(
    toy_tasks: TaskPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its code is another, or a layer without weights."""
    monkeypatch.syspath_prepend(str(tmp_path))
    suite = rb.Suite("small", (rb.attacks.ExactLastLayer(1e-3),), (rb.Budget(5, 3),))

    def digest(make: Callable[[], nn.Module]) -> str:
        with seeded(0):
            model = Classifier.wrap(make(), example=torch.ones(1, 1, 16, 16))
        return build_specification(toy_tasks, suite, 1, [Contender("defended", "x", model)]).digest

    def load(code: str) -> Callable[[], nn.Module]:
        sys.modules.pop("net_of_a_user", None)
        (tmp_path / "net_of_a_user.py").write_text(code)
        importlib.invalidate_caches()
        net: Callable[[], nn.Module] = importlib.import_module("net_of_a_user").Net
        return net

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert digest(load(NET)) == digest(load(NET)) != digest(load(NET.replace("relu", "tanh")))
    first, last = nn.Linear(256, 8), nn.Linear(8, 3)
    usual, again, other = (
        digest(lambda one=one: nn.Sequential(nn.Flatten(), first, one, last))  # type: ignore[misc]
        for one in (nn.ReLU(), nn.ReLU(), nn.Tanh())
    )
    assert usual == again != other


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_comparison_takes_own_method_model_and_suite(
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
    assert "points with 5 labels per class" in said, said
    board = (place / "run" / "leaderboard.md").read_text()
    assert "Shrink" in board and "every trial failed" not in board


@pytest.mark.usefixtures("no_figures")
def test_all_stands_for_every_method_and_allows_more(
    place: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*COMPARE, "--data", str(toy_folder), "--suite", "own.py:kept", "--workers", "1"]
    assert main([*command, "--methods", "all,own.py:Shrink,NTL", "--out", "run"]) == 2
    assert "every method once" in capsys.readouterr().err
    assert main([*command, "--methods", "NTL,own.py:Shrink", "--out", "run"]) == 0
    assert "Shrink" in (place / "run" / "leaderboard.md").read_text()


@pytest.mark.parametrize("name", ["net.py", "my-net.v2.py"])
def test_files_with_the_same_name_stay_separate(name: str, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(f"class Here:\n    place = {folder!r}\n")
    kinds = [load_named(f"{tmp_path / folder / name}:Here") for folder in ("a", "b")]
    sent = [pickle.loads(pickle.dumps(kind)) for kind in kinds]
    assert [kind.place for kind in sent] == ["a", "b"]
    assert load_named(f"{tmp_path / 'b' / name}:Here") is kinds[1], "it was run again"


def test_path_spelling_does_not_change_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "10:30"
    folder.mkdir()
    (folder / "net.py").write_text("class Here:\n    pass\n")
    monkeypatch.chdir(folder)
    kind = load_named("net.py:Here")
    monkeypatch.chdir(tmp_path)
    assert load_named("10:30/../10:30/net.py:Here") is kind
    assert load_named(f"{folder / 'net.py'}:Here") is kind


def test_other_processes_load_files_in_the_same_order(tmp_path: Path) -> None:
    """A file may need what an earlier one has set up."""
    paths = [str(tmp_path / f"{name}.py") for name in ("zebra", "ape", "mule")]
    for path in paths:
        Path(path).write_text("")
        load_code(path)
    load, (carried,) = CarriedCode().__reduce__()
    assert carried[-3:] == paths
    before = [(module.__name__, module) for module in list_loaded_code()[-3:]]
    for name, _ in before:
        del sys.modules[name]
    load(carried)
    after = list_loaded_code()[-3:]
    assert [module.__file__ for module in after] == paths
    assert not any(new is old for new, (_, old) in zip(after, before, strict=True))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ValueError('one\\ntwo')", "got ValueError: one; correct"),
        ("exit(3)", "SystemExit: 3"),
    ],
)
def test_broken_file_gives_a_one_line_error(code: str, said: str, tmp_path: Path) -> None:
    path, known = tmp_path / "faulty.py", list_loaded_code()
    path.write_text(f"begun = 1\n{code}")
    for _ in range(2):
        with pytest.raises(InputError, match=said) as caught:
            load_code(path)
        assert "\n" not in str(caught.value)
    assert list_loaded_code() == known, "no process needs a file that cannot be run"
    path.write_text("corrected = True")
    assert load_code(path).corrected
