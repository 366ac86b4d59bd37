"""A model is saved with its description, and is loaded and audited by it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import rootbound as rb
from architectures import OneConvolution
from rootbound.api.adaptive import find_adaptive
from rootbound.attacks import Budget
from rootbound.data import TaskPair
from rootbound.networks import Classifier
from rootbound.suites import Suite
from rootbound.training import Recipe

SHORT = Recipe(epochs=1, batch_size=60)


@pytest.fixture(scope="module")
def saved(
    toy_tasks: TaskPair, few_steps_of_their_own: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Give the folder of a model of a built-in architecture."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    network = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
    rb.methods.BestResponse(SHORT).fit(network, toy_tasks, seed=4).save_pretrained(str(folder))
    return folder


def test_saved_model_keeps_its_description(saved: Path, toy_tasks: TaskPair) -> None:
    model = rb.load(saved)
    assert (model.architecture, model.shape) == ("shallow_cnn", (1, 16, 16))
    origin = model.origin
    assert (origin.method.kind, origin.arm, origin.seed) == ("BestResponse", "defended", 4)
    assert (origin.desirable, origin.undesirable) == ("0,1,2", "3,4,5")
    assert origin.scaling == toy_tasks.desirable.train.scaling
    config = json.loads((saved / "config.json").read_text())
    assert config["classes"] == ["0", "1", "2"]
    # A range names three classes, but not each of them.
    model.origin = replace(origin, desirable="0-2")
    model.save_pretrained(saved.with_name("range"))
    assert json.loads((saved.with_name("range") / "config.json").read_text())["classes"] is None
    model.origin = origin
    assert len(find_adaptive(model)) == 1
    again = saved.with_name("again")
    model.save_pretrained(again)
    names = [path.name for path in sorted(saved.iterdir())]
    assert [path.name for path in sorted(again.iterdir())] == names
    assert all((again / name).read_bytes() == (saved / name).read_bytes() for name in names)


def test_audit_scales_inputs_as_in_training(
    saved: Path, toy_tasks: TaskPair, toy_suite: Suite, caplog: pytest.LogCaptureFixture
) -> None:
    other = replace(toy_tasks).rescaled(rb.Scaling(255.0, 0.1, 0.9))
    suite = toy_suite.with_budgets((Budget(5, 2),))
    with caplog.at_level(logging.WARNING):
        verdict = rb.audit(saved, other, suite=suite, seeds=1)
    context = verdict.evaluation.context
    own = toy_tasks.desirable.train.scaling
    for role in ("desirable", "undesirable"):
        inputs = context[role]["inputs"]
        assert (inputs["mean"], inputs["deviation"]) == (own.mean, own.deviation)
    assert "inputs are scaled as the model was trained" in caplog.text
    assert context["adaptive"] == 1


def test_saves_a_users_network(toy_tasks: TaskPair, tmp_path: Path) -> None:
    fitted = rb.methods.Plain(SHORT).fit(OneConvolution(), toy_tasks)
    fitted.save_pretrained(tmp_path)
    OneConvolution().load_state_dict(load_file(tmp_path / "model.safetensors"))
    loaded = rb.load(tmp_path, OneConvolution())
    samples, _ = toy_tasks.desirable.test.batch(slice(0, 8))
    assert torch.equal(loaded(samples), fitted.eval()(samples))
    assert loaded.origin == fitted.origin and loaded.shape == (1, 16, 16)
    with pytest.raises(rb.InputError, match="pass that network as `module`"):
        rb.load(tmp_path)


def test_saves_a_model_without_origin(toy_model: Classifier, tmp_path: Path) -> None:
    with pytest.raises(rb.InputError, match="a known shape of samples"):
        toy_model.save_pretrained(tmp_path)
    toy_model.shape = (1, 16, 16)
    toy_model.save_pretrained(tmp_path)
    assert rb.load(tmp_path).origin.is_known is False
