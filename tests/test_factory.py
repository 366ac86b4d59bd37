"""Functions that make networks: they get the number of classes if they ask, and are not trusted."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rootbound import evaluate
from rootbound.attacks import Budget, ExactLastLayer
from rootbound.cli.factory import asks_for_classes, call_factory, with_classes
from rootbound.cli.main import main
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.publishing import load_weights
from rootbound.records import Evaluation
from rootbound.suites import Suite
from rootbound.training import Recipe

FILE = """
from torch import nn

def network(classes, width=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(256, width), nn.ReLU(), nn.Linear(width, classes))

class Network(nn.Module):
    def __init__(self, *, classes):
        super().__init__()
        self.body, self.fc = nn.Linear(256, 8), nn.Linear(8, classes)

    def forward(self, inputs):
        return self.fc(self.body(inputs.flatten(1)).relu())
"""
SPLIT = ("--desirable", "0-2", "--undesirable", "3-5")
SPENT = ("--labels", "2", "--steps", "2", "--seeds", "1", "--workers", "1", "--suite", "demo-1")
SUITE = Suite("factory-1", (ExactLastLayer(1e-2),), (Budget(5, 2),))


def of(classes: int) -> nn.Module:
    return nn.Linear(4, classes)


def of_five(width: int = 5) -> nn.Module:
    return nn.Linear(4, width)


def of_anything(**settings: int) -> nn.Module:
    return nn.Linear(4, 5 + len(settings))


class Of(nn.Linear):
    def __init__(self, *, classes: int = 2) -> None:
        super().__init__(4, classes)


@pytest.mark.parametrize(
    ("make", "asked", "classes"),
    [
        (of, True, 3),
        (Of, True, 3),
        (partial(Of), True, 3),
        (of_five, False, 5),
        (of_anything, False, 5),
    ],
)
def test_passes_classes_to_functions_that_ask(
    make: Callable[..., nn.Module], asked: bool, classes: int
) -> None:
    assert asks_for_classes(make) == asked
    module = call_factory(with_classes(make, 3), "here.py:make")
    assert isinstance(module, nn.Linear)
    assert module.out_features == classes


@pytest.mark.parametrize("name", ["network", "Network"])
@pytest.mark.usefixtures("no_figures")
def test_builds_a_network_for_the_classes_of_the_task(
    name: str,
    toy_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(FILE)
    named, data = ("--model", f"net.py:{name}"), ("--data", str(toy_folder))
    train = ["train", *named, *data, *SPLIT, "--method", "Plain", "--epochs", "1"]
    assert main([*train, "--out", "ours.safetensors"]) == 0
    weights = load_file("ours.safetensors")
    assert [len(value) for key, value in weights.items() if key in ("3.bias", "fc.bias")] == [3]
    assert main(["audit", "ours.safetensors", *named, *SPENT, "--out", "run"]) == 0
    assert {one.arm for one in Evaluation.load("run").records} == {"defended", "scratch"}
    assert main(["export", "ours.safetensors", "run", *named, "--out", "published"]) == 0
    torch.save(weights, "w.pt")
    capsys.readouterr()
    alone = ["audit", "w.pt", *named, "--undesirable-data", str(toy_folder), "--undesirable", "3-5"]
    assert main([*alone, *SPENT, "--out", "alone"]) == 2
    assert "the number of classes is not known" in capsys.readouterr().err


class Remembering(nn.Module):
    """Keeps what went through it, as networks do that are looked into."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(256, 8)
        self.seen: list[Tensor] = []
        self.last = torch.zeros(0)

    def forward(self, inputs: Tensor) -> Tensor:
        self.last = self.layer(inputs.flatten(1)).relu()
        self.seen = [inputs, self.last]
        return self.last


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(256, 8)
        self.register_buffer("mask", torch.full((8, 8), -math.inf).triu(1))

    def forward(self, inputs: Tensor) -> Tensor:
        mixing = self.get_buffer("mask").softmax(1)
        outputs: Tensor = self.layer(inputs.flatten(1)).relu() @ mixing.T
        return outputs


@pytest.mark.parametrize("backbone", [Remembering, Masked])
def test_accepts_harmless_functions(
    backbone: Callable[[], nn.Module], toy_tasks: TaskPair, tmp_path: Path
) -> None:
    model = Plain(Recipe(epochs=1)).fit(Classifier(backbone(), nn.Linear(8, 3)), toy_tasks)
    model(toy_tasks.desirable.test.batch(slice(0, 9))[0]).sum().backward()
    found = evaluate(model, toy_tasks, suite=SUITE, seeds=1)
    assert not any(record.error for record in found.records)
    torch.save(model.state_dict(), tmp_path / "w.pt")
    load_weights(Classifier(backbone(), nn.Linear(8, 3)), tmp_path / "w.pt")


def damaged(value: float) -> Classifier:
    model = Classifier(Masked(), nn.Linear(8, 3))
    with torch.no_grad():
        model.head.weight[0, 0] = value
    return model


@pytest.mark.parametrize(
    ("value", "said"), [(math.nan, "NaN, in head.weight"), (-math.inf, "infinite numbers, in head")]
)
def test_refuses_non_finite_weights_in_python(value: float, said: str, toy_tasks: TaskPair) -> None:
    with pytest.raises(InputError, match=f"of defended; got others: these weights hold {said}"):
        evaluate(damaged(value), toy_tasks, suite=SUITE, seeds=1)
