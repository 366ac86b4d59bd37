"""A network from scratch has nothing of the given one, apart from patterns."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.evaluation import evaluate
from rootbound.networks import Classifier
from rootbound.networks.freshness import ANOTHER_SEED, are_alike, is_pattern
from rootbound.networks.weights import weights_digest

WIDTH = 256
REMEDY = "draw it in reset_parameters.*out of torch's default generator"


class Map(nn.Module):
    """A linear map that keeps its weights where nobody draws them anew."""

    def __init__(self, weight: Tensor, *, kind: str) -> None:
        super().__init__()
        if kind == "frozen":
            self.weight = nn.Parameter(weight, requires_grad=False)
        elif kind == "trained":
            self.weight = nn.Parameter(weight)
        elif kind == "attribute":
            vars(self)["weight"] = weight
        else:
            self.register_buffer("weight", weight, persistent=kind == "buffer")

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, self.weight)


class Constants(nn.Module):
    """What networks hold besides weights: a scaling, a mask, positions, frequencies, a blur."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        self.register_buffer("mask", torch.full((64, 64), -math.inf).triu(1))
        self.register_buffer("positions", waves(50, 16))
        self.register_buffer("frequencies", 1e4 ** (-torch.arange(32) / 32))
        self.register_buffer("blur", torch.tensor([1.0, 2.0, 1.0]).outer(torch.ones(3)) / 12)
        self.register_buffer("window", torch.hann_window(400), persistent=False)
        self.token = nn.Parameter(torch.zeros(1, 64))
        self.scale = nn.Parameter(0.1 * torch.ones(64))
        self.turn = nn.Parameter(torch.eye(64), requires_grad=False)

    def reset_parameters(self) -> None:
        """Draw nothing: they begin as constants."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.get_buffer("positions").mean()


def waves(length: int, width: int) -> Tensor:
    angles = torch.arange(length).unsqueeze(1) * 1e4 ** (-torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


def network(middle: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(WIDTH, 32), nn.ReLU(), middle, nn.ReLU(), nn.Linear(32, 3)
    )


WEIGHT = torch.randn(32, 32, generator=torch.Generator().manual_seed(0)) / 6
"""What is brought along."""
GIVEN = {name: value.clone() for name, value in network(nn.Linear(32, 32)).state_dict().items()}


def drawing() -> nn.Module:
    return network(nn.Linear(32, 32))


def the_given_one() -> nn.Module:
    module = drawing()
    module.load_state_dict(GIVEN)
    return module


def nearly_the_given_one() -> nn.Module:
    module = the_given_one()
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.05 * value.std() * torch.randn_like(value))
    return module


def half_the_given_one() -> nn.Module:
    module = drawing()
    module.load_state_dict({**module.state_dict(), "3.weight": GIVEN["3.weight"]})
    return module


def the_given_units_in_another_order() -> nn.Module:
    module = the_given_one()
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(value[torch.randperm(len(value))])
    return module


BRINGING: dict[str, Callable[[], nn.Module]] = {
    "all": the_given_one,
    "with noise": nearly_the_given_one,
    "one layer": half_the_given_one,
    "units in another order": the_given_units_in_another_order,
    "a parameter of its own": lambda: network(Map(WEIGHT.clone(), kind="trained")),
    "a frozen parameter": lambda: network(Map(WEIGHT.clone(), kind="frozen")),
    "a buffer": lambda: network(Map(WEIGHT.clone(), kind="buffer")),
    "a buffer that no file holds": lambda: network(Map(WEIGHT.clone(), kind="unsaved")),
    "an attribute": lambda: network(Map(WEIGHT.clone(), kind="attribute")),
    "half precision": lambda: network(Map(WEIGHT.half(), kind="buffer")).half(),
}


@pytest.mark.parametrize("name", BRINGING)
def test_refuses_a_function_that_brings_weights(name: str) -> None:
    make = BRINGING[name]
    with pytest.raises(InputError, match=r"[13]\.weight the same ones under two seeds") as caught:
        Classifier.wrap(make(), fresh=make)
    assert len(str(caught.value).splitlines()) == 1


class Elsewhere(nn.Linear):
    """Draws weights that another network was trained to have."""

    in_order = True

    def reset_parameters(self) -> None:
        super().reset_parameters()
        order = torch.arange(32) if self.in_order else torch.randperm(32)
        with torch.no_grad():
            self.weight.copy_(WEIGHT[order])


@pytest.mark.parametrize("in_order", [True, False])
def test_names_modules_that_draw_weights_of_a_third_network(
    in_order: bool, toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scratch would be that network; the given one has other weights."""
    monkeypatch.setattr(Elsewhere, "in_order", in_order)
    module = network(Elsewhere(32, 32))
    with torch.no_grad():
        nn.Linear.reset_parameters(module.get_submodule("3"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=rf"got 3\.weight with the same ones.*; {REMEDY}"):
        evaluate(module, toy_tasks, seeds=1)


@pytest.mark.parametrize("kind", ["frozen", "buffer", "unsaved", "attribute"])
def test_names_weights_that_stay(kind: str) -> None:
    middle = Map(WEIGHT.clone(), kind=kind)
    middle.reset_parameters = lambda: None  # type: ignore[assignment]
    model = Classifier.wrap(network(middle))
    with pytest.raises(InputError, match=f"got 3.weight as the given network.*{REMEDY}") as caught:
        model.reinitialised(0)
    assert len(str(caught.value).splitlines()) == 1
    drawn = model.reinitialised(0, len(model.blocks))  # what an attack asks for is as it was
    assert not torch.equal(drawn.head.weight, model.head.weight)


def drawn_in_the_function(kind: str) -> nn.Module:
    return network(Map(torch.randn(32, 32) / 6, kind=kind))


def frozen() -> nn.Module:
    return drawn_in_the_function("frozen")


def buffer() -> nn.Module:
    return drawn_in_the_function("buffer")


def unsaved() -> nn.Module:
    return drawn_in_the_function("unsaved")


def attribute() -> nn.Module:
    return drawn_in_the_function("attribute")


def constants() -> nn.Module:
    return network(Constants())


@pytest.mark.parametrize("make", [drawing, frozen, buffer, unsaved, attribute, constants])
def test_accepts_a_function_that_draws_everything(make: Callable[[], nn.Module]) -> None:
    model = Classifier.wrap(make(), fresh=make)
    first, other = model.reinitialised(0), model.reinitialised(1)
    inputs = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(first.features(inputs), model.features(inputs), atol=0.1)
    assert not torch.allclose(first.features(inputs), other.features(inputs), atol=0.1)


def test_constants_need_no_function() -> None:
    model = Classifier.wrap(constants())
    assert weights_digest(model.reinitialised(1).state_dict())


@pytest.mark.parametrize("seed", range(4))
def test_initial_weights_of_training_do_not_count_as_brought(seed: int) -> None:
    start = Classifier.wrap(drawing()).reinitialised(seed)
    again = start.reinitialised(seed)
    assert weights_digest(again.state_dict()) == weights_digest(start.state_dict())


def test_reserved_seed_draws_like_no_other_seed() -> None:
    assert ANOTHER_SEED == ANOTHER_SEED % 2**32
    assert ANOTHER_SEED > 2**31


@pytest.mark.parametrize(
    "values",
    [
        torch.zeros(40, 40),
        torch.full((40,), 0.3),
        torch.eye(64),
        torch.eye(64) + 0.01 * torch.randn(64, 64),
        torch.ones(64, 64).tril(),
        torch.full((64, 64), -math.inf).triu(1),
        waves(17, 64),
        waves(200, 128),
        torch.hann_window(400),
        torch.arange(256.0),
        torch.tensor([0.1, -3.0, 0.7]),
        torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])).repeat(32, 1, 1, 1) / 16,
        torch.cat([0.1 * torch.rand(64), torch.ones(64), 0.1 * torch.rand(128)]),  # gates of LSTMs
    ],
)
def test_finds_patterns(values: Tensor) -> None:
    assert is_pattern(values)


@pytest.mark.parametrize(
    "values",
    [
        nn.Conv2d(1, 16, 5).weight,
        nn.Linear(256, 8).weight,
        torch.randn(128),
        torch.randn(1024).sign(),
        torch.randn(64, 64) * (torch.rand(64, 64) < 0.5),
        nn.init.orthogonal_(torch.empty(32, 32)),
        torch.cat([torch.randn(2000), torch.tensor([100.0])]),
    ],
)
def test_random_weights_are_no_patterns(values: Tensor) -> None:
    assert not is_pattern(values)


@pytest.mark.parametrize("count", [8, 30, 100, 10_000])
def test_independent_draws_differ(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        first, other = (torch.randn(count, generator=generator) for _ in range(2))
        assert not are_alike(first, other)
        assert are_alike(first, first.clone())
        assert count < 100 or are_alike(first, first + 0.3 * other)
