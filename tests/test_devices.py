"""Where tensors are created and drawn, and in which precision steps are taken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from rootbound.devices import computing_in, find_device, on, random_stream
from rootbound.errors import InputError
from rootbound.methods import BestResponse
from rootbound.models import Classifier
from rootbound.tasks import TaskPair
from rootbound.training import Recipe, accuracy, minimise

HERE = Path(__file__).parent


def test_names() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(InputError, match="did you mean 'cuda'"):
        find_device("cude")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_an_error(name: str) -> None:
    if find_device("auto").type == name:
        pytest.skip("it is there")
    with pytest.raises(InputError, match=f"a machine with {name}; got none here"):
        find_device(name)


def test_tensors_are_created_on_the_device() -> None:
    with on(torch.device("meta")):
        assert torch.zeros(3).is_meta
        assert nn.Linear(2, 2).weight.is_meta
    assert not torch.zeros(3).is_meta
    assert random_stream(3).initial_seed() == 3


def test_weights_are_drawn_alike_for_every_device(toy_model: Classifier) -> None:
    expected = toy_model.reinitialised(5).state_dict(), toy_model.with_head(4, 5).state_dict()
    with on(torch.device("meta")):
        found = toy_model.reinitialised(5).state_dict(), toy_model.with_head(4, 5).state_dict()
    for one, other in zip(expected, found, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_is_computed_as_precisely_as_told(precision: str) -> None:
    layer, seen = nn.Linear(4, 3), []
    batch = (torch.randn(6, 4),)

    def loss(batch: tuple[torch.Tensor], _: float) -> torch.Tensor:
        outputs: torch.Tensor = layer(*batch)
        seen.append((outputs.dtype, outputs.detach().float()))
        found: torch.Tensor = outputs.float().square().mean()
        return found

    with computing_in(precision):
        minimise(layer, loss, [batch] * 3, steps=3, learning_rate=0.1)
    assert {dtype for dtype, _ in seen} == {getattr(torch, precision)}
    # Weights that were rounded once would give the same outputs for ever.
    assert not torch.equal(seen[0][1], seen[-1][1])
    assert layer.weight.dtype == torch.float32
    with pytest.raises(InputError, match="expected a precision"), computing_in("float64"):
        pass


def test_half_precision_trains_as_well(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    method = BestResponse(Recipe(epochs=8, batch_size=30))
    reached = []
    for precision in ("float32", "bfloat16"):
        with computing_in(precision):
            reached.append(accuracy(method.fit(toy_model, toy_tasks), toy_tasks.desirable.test))
    assert min(reached) > 0.9


@pytest.mark.slow
def test_what_is_found_elsewhere_is_the_same() -> None:
    """In a process of its own: a backend, once registered, cannot be taken back."""
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run(
        [sys.executable, str(HERE / "elsewhere.py")],
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
