"""Where tensors are created and drawn, and in which precision steps are taken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from lookalikes import TimmCait
from rootbound.core.devices import (
    PRECISIONS,
    computing_in,
    find_device,
    make_generator,
    on,
    set_seed,
    with_float64,
)
from rootbound.core.errors import InputError
from rootbound.data import Augmentation, TaskPair
from rootbound.evaluation.contenders import Contender
from rootbound.evaluation.context import build_specification
from rootbound.methods import BestResponse, Plain, Schedule
from rootbound.networks import Classifier, shallow_cnn
from rootbound.networks.weights import weights_digest
from rootbound.records import Configuration
from rootbound.suites import Suite
from rootbound.training import Recipe, accuracy, minimise

HERE = Path(__file__).parent


def test_device_names_are_parsed() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(InputError, match="did you mean 'cuda'"):
        find_device("cude")
    with pytest.raises(InputError, match="a number after cpu:; got 'cpu:first'"):
        find_device("cpu:first")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_refuses_a_missing_device(name: str) -> None:
    if find_device("auto").type == name:
        pytest.skip("it is there")
    with pytest.raises(InputError, match=f"a machine with {name}; got none here"):
        find_device(name)


@pytest.mark.parametrize(
    ("name", "found"),
    [("cuda", "cuda:1"), ("auto", "cuda:1"), ("cuda:3", "cuda:3"), ("cpu", "cpu")],
)
def test_each_process_gets_its_own_device(
    name: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its number on that machine, not by that among all machines."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert find_device(name) == torch.device(found)
    monkeypatch.delenv("LOCAL_RANK")
    assert find_device("cuda") == torch.device("cuda")


@pytest.mark.parametrize(("kind", "exact"), [("mps", "cpu"), ("cuda", "cuda"), ("cpu", "cpu")])
def test_solves_exactly_on_a_device_with_float64(kind: str, exact: str) -> None:
    assert with_float64(torch.device(kind)).type == exact


def test_tensors_are_created_on_the_device() -> None:
    with on(torch.device("meta")):
        assert torch.zeros(3).is_meta
        assert nn.Linear(2, 2).weight.is_meta
    assert not torch.zeros(3).is_meta
    assert make_generator(3).initial_seed() == 3


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_seed_is_passed_to_torch_unchanged(
    is_elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: is_elsewhere)
    for seed in (0, 5, 2**63, -3):
        drawn = []
        for give in (torch.manual_seed, set_seed):
            torch.rand(3)
            give(seed)
            drawn.append(torch.rand(3))
        assert torch.equal(*drawn)


def test_convolutions_on_accelerators_are_not_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with on(torch.device("cpu")):
        assert torch.backends.cudnn.allow_tf32
    with pytest.raises(KeyError), on(torch.device("meta")):
        assert not torch.backends.cudnn.allow_tf32
        raise KeyError
    assert torch.backends.cudnn.allow_tf32


def of_a_function() -> Classifier:
    return Classifier.wrap(TimmCait(), fresh=TimmCait)


@pytest.mark.parametrize("make", [lambda: shallow_cnn(3, (1, 16, 16)), of_a_function])
def test_every_device_draws_the_same_weights(make: Callable[[], Classifier]) -> None:
    model = make()
    expected = model.reinitialised(5).state_dict(), model.with_head(4, 5).state_dict()
    with on(torch.device("meta")):
        found = model.reinitialised(5).state_dict(), model.with_head(4, 5).state_dict()
    for one, other in zip(expected, found, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_step_uses_the_requested_precision(precision: str) -> None:
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
    recipe, schedule = Recipe(epochs=8, batch_size=30), Schedule(finishing_steps=5)
    method = BestResponse(recipe, schedule=schedule)
    trained = [method.in_precision(one).fit(toy_model, toy_tasks) for one in PRECISIONS]
    assert min(accuracy(one, toy_tasks.desirable.test) for one in trained) > 0.9
    digests = {weights_digest(one.state_dict()) for one in trained}
    assert len(digests) == len(PRECISIONS)
    with computing_in("bfloat16"):
        assert weights_digest(method.fit(toy_model, toy_tasks).state_dict()) in digests


def test_only_another_precision_makes_another_run(
    toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite
) -> None:
    plain = Plain(Recipe(epochs=1))
    before = "Recipe(epochs=1, batch_size=128, learning_rate=0.002, augmentation="
    assert str(Configuration.of(plain.recipe)) == f"{before}{Augmentation(shift=1)!r})"
    assert plain.in_precision("float32") == plain
    half = plain.in_precision("bfloat16")
    assert str(Configuration.of(half.recipe)).endswith(", precision='bfloat16')")
    specs = [
        build_specification(
            toy_tasks, toy_suite, 1, [Contender("undefended", "Plain", toy_model, one)]
        )
        for one in (plain, half)
    ]
    ((name, *_),) = specs[0].differs_from(specs[1])
    assert name == "arms.Plain.method"
    with pytest.raises(InputError, match="expected a precision"):
        plain.in_precision("float64")


@pytest.mark.slow
def test_another_device_finds_the_same() -> None:
    """In a process of its own: a backend, once registered, cannot be taken back."""
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run(
        [sys.executable, str(HERE / "elsewhere.py")],
        check=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": path},
    )
