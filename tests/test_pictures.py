"""Pictures against a hand computation."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.data import Data, TaskPair
from rootbound.inspection.attributions import grad_cam
from rootbound.inspection.pictures import make_pictures, with_best_head
from rootbound.networks import Classifier
from rootbound.training import accuracy


def test_grad_cam_equals_a_hand_computation() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 3, 3, padding=1)
    backbone = nn.Sequential(
        nn.Sequential(convolution, nn.ReLU()), nn.Sequential(nn.MaxPool2d(2), nn.Flatten())
    )
    model = Classifier(backbone, nn.Linear(3 * 4 * 4, 2))
    data = Data(torch.rand(5, 1, 8, 8), torch.tensor([0, 1, 1, 0, 1]))
    found = grad_cam(model, convolution, data, data.labels)
    for i in range(len(data)):
        activations = convolution(data.inputs[i : i + 1]).detach().requires_grad_(True)
        logits = model.head(backbone[1](activations.relu()))
        (gradient,) = torch.autograd.grad(logits[0, data.labels[i]], activations)
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        expected = functional.relu((weights * activations).sum(1)).detach()[0]
        expected = 255 * expected / expected.max().clamp_min(1e-12)
        assert np.abs(found[i].astype(float) - expected.numpy()).max() <= 1.0


def test_pictures_are_complete_and_plain(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    found = make_pictures(toy_model, toy_tasks)
    assert found["desirable"].shape == (3, 1, 16, 16)
    assert found["cam_retrained_undesirable"].shape == (3, 16, 16)
    assert found["view"].shape == (60, 2)
    assert found["filters"].shape == (16, 5, 5)
    assert all(array.dtype in (np.uint8, np.float16) for array in found.values())


def test_without_convolution_there_is_no_grad_cam(toy_tasks: TaskPair) -> None:
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU()), nn.Linear(8, 3))
    found = make_pictures(model, toy_tasks)
    assert "view" in found
    assert not [name for name in found if name.startswith("cam")]


def test_best_head_is_for_the_other_task(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    retrained = with_best_head(toy_model, toy_tasks.undesirable)
    assert accuracy(retrained, toy_tasks.undesirable.train) > 0.9


def test_without_captum_the_rest_is_pictured_and_one_line_says_so(
    toy_model: Classifier,
    toy_tasks: TaskPair,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    complete = make_pictures(toy_model, toy_tasks)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with caplog.at_level(logging.WARNING):
        found = make_pictures(toy_model, toy_tasks)
    assert set(found) == {name for name in complete if not name.startswith("cam")}
    (line,) = caplog.messages
    assert "pip install 'rootbound[pictures]'" in line
    data = toy_tasks.undesirable.test
    layer = toy_model.last_convolution()
    assert layer is not None
    with pytest.raises(InputError, match="Captum"):
        grad_cam(toy_model, layer, data, data.labels)
