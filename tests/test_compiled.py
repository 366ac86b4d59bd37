"""Networks that are compiled train as those that are not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from rootbound.cli import main
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.evaluation.contenders import Contender
from rootbound.evaluation.context import build_specification
from rootbound.methods import (
    IMMA,
    BestResponse,
    LossMethod,
    Method,
    Plain,
    ReverseMAML,
    Schedule,
    SelectiveDistillation,
)
from rootbound.networks import Classifier
from rootbound.networks.compiled import compiled
from rootbound.networks.layers import run_with_preactivation
from rootbound.publishing import load_model
from rootbound.records import Configuration
from rootbound.suites import Suite
from rootbound.training import Recipe

# So slow that rounding, of which the closed forms make much, comes to nothing; a step is 1e-5.
SHORT = Recipe(epochs=1, batch_size=30, learning_rate=1e-5)
# torch's own, while it traces.
pytestmark = [
    pytest.mark.filterwarnings("default:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("default:The .grad attribute of a Tensor that is not a leaf"),
]


@pytest.fixture(autouse=True)
def _without_a_compiler(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Trace and differentiate as usual, but write no C++: that takes a minute."""
    torch.compiler.reset()
    if "inductor" not in request.node.name:
        whole: Callable[..., Any] = torch.compile
        monkeypatch.setattr(torch, "compile", lambda call: whole(call, backend="aot_eager"))


def two_blocks() -> Classifier:
    """Return a network with batch normalisation that is soon compiled."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = nn.Sequential(nn.Conv2d(1, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU())
        last = nn.Sequential(nn.Flatten(), nn.Linear(8 * 6 * 6, 32), nn.BatchNorm1d(32), nn.ReLU())
        return Classifier(nn.Sequential(first, last), nn.Linear(32, 3))


def distance(method: Method, model: Classifier, tasks: TaskPair) -> float:
    """Return the largest difference of a weight trained compiled and not; count graphs.

    There is one of the network where a method calls it as a whole, or one of each part.
    """
    counters.clear()
    found = method.when_compiled().fit(model, tasks).state_dict()
    parts = 1 if isinstance(method, Plain) else len(model.blocks) + 1
    assert counters["stats"]["unique_graphs"] >= parts
    expected = method.fit(model, tasks).state_dict()
    assert found.keys() == expected.keys()
    return max(float((found[name] - value).abs().max()) for name, value in expected.items())


@pytest.mark.parametrize(
    "method",
    [
        Plain(SHORT),
        *(
            pytest.param(method, marks=pytest.mark.slow)
            for method in (
                BestResponse(SHORT, schedule=Schedule(finishing_steps=0)),
                # Of one size, so that what was compiled for one side is called for the other.
                BestResponse(SHORT, 30, schedule=Schedule(finishing_steps=0, wait=0.1)),
                SelectiveDistillation(SHORT),
                IMMA(SHORT, outer_steps=4),
            )
        ),
    ],
    ids=repr,
)
def test_compiled_training_gives_the_same_weights(method: Method, toy_tasks: TaskPair) -> None:
    assert distance(method, two_blocks(), toy_tasks) < 1e-6


@pytest.mark.slow
def test_inductor_gives_the_same_weights(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    assert distance(Plain(SHORT), toy_model, toy_tasks) < 1e-6


def test_sees_the_input_of_an_activation(toy_model: Classifier) -> None:
    block, inputs = toy_model.blocks[0], torch.randn(4, 1, 16, 16)
    expected = [one.clone() for one in run_with_preactivation(block, inputs)]
    with compiled(toy_model):
        block(inputs)  # compiled without the hook
        for found, value in zip(run_with_preactivation(block, inputs), expected, strict=True):
            torch.testing.assert_close(found, value)
    assert not torch.equal(*expected)


def test_reports_a_missing_compiler(
    toy_model: Classifier, toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError("no compiler")

    whole = torch._dynamo.optimize
    monkeypatch.setattr(torch, "compile", whole(none))
    with pytest.raises(InputError, match=r"torch.compile works.*no compiler.*leave `compiled` out"):
        Plain(SHORT).when_compiled().fit(toy_model, toy_tasks)


def test_compilation_leaves_no_trace(toy_model: Classifier) -> None:
    with compiled(toy_model):
        assert all(one._compiled_call_impl for one in toy_model.blocks)
        assert copy.deepcopy(toy_model).head._compiled_call_impl is None
    assert all(one._compiled_call_impl is None for one in [*toy_model.blocks, toy_model.head])


@pytest.mark.slow
def test_refuses_methods_that_differentiate_twice(toy_tasks: TaskPair) -> None:
    method: LossMethod = ReverseMAML(SHORT, undesirable_batch_size=30)
    with pytest.raises(InputError, match=r"differentiates only once.*leave `compiled` out"):
        method.when_compiled().fit(two_blocks(), toy_tasks)


def test_compiled_run_is_another_run(
    toy_model: Classifier, toy_tasks: TaskPair, toy_suite: Suite
) -> None:
    plain = Plain(SHORT)
    assert "compiled" not in str(Configuration.of(plain))
    assert str(Configuration.of(plain.when_compiled().recipe)).endswith(", compiled=True)")
    specs = [
        build_specification(
            toy_tasks, toy_suite, 1, [Contender("undefended", "Plain", toy_model, one)]
        )
        for one in (plain, plain.when_compiled())
    ]
    ((name, *_),) = specs[0].differs_from(specs[1])
    assert name == "arms.Plain.method"


def test_train_command_compiles(toy_folder: Path, tmp_path: Path) -> None:
    tasks = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    out = tmp_path / "model.safetensors"
    made = main(
        ["train", *tasks, "--method", "Plain", "--epochs", "1", "--compile", "--out", str(out)]
    )
    assert made == 0
    assert "compiled=True" in str(load_model(out)[1].method)
