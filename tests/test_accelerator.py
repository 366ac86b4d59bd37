"""Every method and every attack on an accelerator, where there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import rootbound as rb
from rootbound import cli
from rootbound.attacks import Budget
from rootbound.core.devices import find_device, on
from rootbound.data import TaskPair
from rootbound.evaluation import compare
from rootbound.execution import Pool
from rootbound.methods import BestResponse, GenericFeatures, Method, Plain
from rootbound.networks import Classifier, resnet_20
from rootbound.records import Evaluation, Record
from rootbound.suites import SUITES, Suite, find_suite
from rootbound.training import Recipe, accuracy
from rootbound.training.state import TrainingState
from stopped import Stopped, stop_after
from test_methods import FAST, ROWS
from test_training_state import fit

DEVICE = find_device("auto")
pytestmark = pytest.mark.skipif(DEVICE.type != "cuda", reason="no accelerator with float64 here")


@pytest.mark.parametrize("method", [*ROWS, GenericFeatures(FAST, "mnist")], ids=repr)
def test_methods(method: Method, toy_model: Classifier, toy_tasks: TaskPair) -> None:
    with on(DEVICE):
        model = method.fit(toy_model.to(DEVICE), toy_tasks.to(DEVICE))
    assert model.head.weight.device.type == DEVICE.type
    assert accuracy(model.cpu(), toy_tasks.desirable.test) > 0.5


def test_training_state(
    toy_model: Classifier, toy_tasks: TaskPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, points = BestResponse(FAST), TrainingState(tmp_path / "points", every=0.0)
    with on(DEVICE), torch.backends.cudnn.flags(deterministic=True):
        model, tasks = toy_model.to(DEVICE), toy_tasks.to(DEVICE)
        whole = fit(method, model, tasks)
        with monkeypatch.context() as patched, pytest.raises(Stopped):
            stop_after(20, patched)
            fit(method, model, tasks, points)
        assert points.folder.is_dir()
        resumed = fit(method, model, tasks, points)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", [Plain, BestResponse])
def test_photographs(kind: type[Method], precision: str, toy_tasks: TaskPair) -> None:
    model = resnet_20(3, (1, 16, 16), width=4)
    method = kind(replace(FAST, precision=precision))
    with on(DEVICE):
        found = method.fit(model.to(DEVICE), toy_tasks.to(DEVICE)).cpu()
    assert accuracy(found, toy_tasks.desirable.test) > 0.5


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("network", ["shallow_cnn", "resnet_20"])
def test_suites(suite: str, network: str, toy_model: Classifier, toy_tasks: TaskPair) -> None:
    """What fails there fails on the processor, too, and solved attacks find the same."""
    model = toy_model if network == "shallow_cnn" else resnet_20(3, (1, 16, 16), width=4)
    methods = [Plain(Recipe(1, 30)), BestResponse(Recipe(1, 30))]
    small = replace(
        find_suite(suite).with_budgets((Budget(5, 4),)), space=None, confirmed=0, longer=0
    )
    there, here = (
        compare(methods, toy_tasks, model, suite=small, seeds=1, workers=Pool(8, device=device))
        for device in (DEVICE.type, "cpu")
    )
    assert _errors(there) == _errors(here)
    for one in (there, here):
        assert sum(map(_diverged, one.records)) < len(one.records) / 100
    solved = [_found(one) for one in (there, here)]
    assert solved[0].keys() == solved[1].keys() != set()
    differing = [key for key, value in solved[0].items() if abs(value - solved[1][key]) > 0.1]
    assert len(differing) < len(solved[0]) / 20, differing


def test_commands(toy_folder: Path, tmp_path: Path) -> None:
    device = ["--device", DEVICE.type]
    tasks = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    model = str(tmp_path / "model.safetensors")
    assert cli.main(["train", *tasks, *device, "--epochs", "2", "--out", model]) == 0
    attack = ["--suite", "quick-1", "--labels", "5", "--steps", "4", "--seeds", "1"]
    out = ["--out", str(tmp_path / "audit")]
    assert cli.main(["audit", model, *tasks, *device, *attack, *out]) == 0
    records = Evaluation.load(tmp_path / "audit").records
    assert not [one.error for one in records if one.error and one.attack.kind == "LastLayer"]


def _errors(found: Evaluation) -> dict[tuple[str, str, str, int | None], str | None]:
    """Return what failed, without what diverged: rounding decides where that begins."""
    return {
        _key(one): one.error
        for one in found.records
        if one.error is not None and not _diverged(one)
    }


def _diverged(record: Record) -> bool:
    return record.error is not None and "not finite" in record.error


def _found(found: Evaluation) -> dict[tuple[str, str, str, int | None], float]:
    """Return what attacks got that are solved for weights that no training has touched."""
    return {
        _key(one): one.test[-1]
        for one in found.records
        if one.arm == "scratch" and one.error is None and one.certificate
    }


def _key(record: Record) -> tuple[str, str, str, int | None]:
    return record.method, record.stage, str(record.attack), record.labels


def test_calls_of_python(toy_tasks: TaskPair, toy_suite: Suite) -> None:
    """A network on the accelerator is trained and attacked there, and stays there."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 3))
    model = rb.defend(network.to(DEVICE), toy_tasks, Plain(FAST))
    assert next(model.parameters()).device.type == DEVICE.type
    suite = toy_suite.with_budgets((Budget(5, 3),))
    verdict = rb.audit(model, toy_tasks, model, suite=suite, seeds=1)
    assert {record.error for record in verdict.evaluation.records} == {None}
    assert next(model.parameters()).device.type == DEVICE.type
