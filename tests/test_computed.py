"""Layers that compute their weights (normed, pruned, parametrized) are layers like any other."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from rootbound.core.errors import InputError
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.networks.computed import fold_computed_weights
from rootbound.publishing import Origin, save_model
from rootbound.records import Configuration
from rootbound.training import predict
from test_networks import RECIPE, check, image_tasks, share

SHAPE = (3, 16, 16)
Change = Callable[[nn.Module], nn.Module]


def pruned(layer: nn.Module) -> nn.Module:
    changed: nn.Module = prune.random_unstructured(layer, "weight", 0.3)
    return changed


CHANGES: dict[str, Change] = {
    "weight_norm by a hook": nn.utils.weight_norm,
    "spectral_norm by a hook": nn.utils.spectral_norm,
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "pruned": pruned,
}
"""What a layer may be given, each a row of the tests."""


def network(change: Change) -> nn.Module:
    """Return a network of which every layer but the head computes its weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch would rather be parametrized
        return nn.Sequential(
            nn.Sequential(change(nn.Conv2d(3, 8, 5, 2)), nn.BatchNorm2d(8), nn.ReLU()),
            nn.Sequential(nn.Flatten(), change(nn.Linear(8 * 6 * 6, 32)), nn.ReLU()),
            nn.Linear(32, 3),
        )


def samples() -> Tensor:
    return torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))


def used_weights(model: nn.Module) -> list[Tensor]:
    kinds = nn.Conv2d, nn.Linear
    return [part.weight.detach() for part in model.modules() if isinstance(part, kinds)]


@pytest.mark.parametrize("name", CHANGES)
def test_trains_and_attacks_computed_weights(name: str) -> None:
    turn = list(CHANGES).index(name)
    check(lambda: Classifier.wrap(network(CHANGES[name])), image_tasks, share(turn, len(CHANGES)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_remaining_attacks_work_on_computed_weights(name: str) -> None:
    turn = list(CHANGES).index(name)
    met = share(turn, len(CHANGES))
    rest = tuple(attack for attack in share(turn % 3, 3) if attack not in met)
    check(lambda: Classifier.wrap(network(CHANGES[name])), image_tasks, rest)


@pytest.mark.parametrize("name", CHANGES)
def test_wraps_and_sends_a_trained_network(name: str) -> None:
    module = network(CHANGES[name])
    module(samples()).sum().backward()  # a hook leaves a weight that belongs to a graph
    model = Classifier.wrap(module, example=samples())
    expected = module.eval()(samples())
    model.train()(samples()).sum().backward()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.with_head(3, 0)):
        assert torch.equal(twin.eval().features(samples()), model.eval().features(samples()))
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(model))))
    assert torch.equal(again(samples()), model(samples()))
    assert model.unwrapped().state_dict().keys() == module.state_dict().keys()
    assert torch.equal(module(samples()), expected), "the given network was changed"


@pytest.mark.parametrize("name", CHANGES)
def test_reinitialises_like_a_new_network(name: str) -> None:
    module = network(CHANGES[name])
    with torch.no_grad():
        for _ in range(20):  # in which spectral norms are found
            module(samples())
    model = Classifier.wrap(module)
    first, again, other = (model.reinitialised(seed) for seed in (1, 1, 2))
    assert torch.equal(first.eval()(samples()), again.eval()(samples()))
    mine = (used_weights(one) for one in (model, first, other))
    for given, drawn, drawn_otherwise in zip(*mine, strict=True):
        size = given.norm() * drawn.norm()
        for one in (given, drawn_otherwise):
            assert float((one * drawn).sum()) < 0.5 * float(size)
        assert float(drawn.std() / given.std()) == pytest.approx(1, abs=0.35), "its usual size"
    partly = model.reinitialised(1, len(model.blocks) - 1)
    kept, drawn, _ = used_weights(partly)
    assert torch.equal(kept, used_weights(model)[0])
    assert not torch.equal(drawn, used_weights(model)[1])


@pytest.mark.parametrize("name", CHANGES)
def test_saves_and_loads_under_its_own_names(name: str, tmp_path: Path) -> None:
    tasks = image_tasks()
    model = Plain(RECIPE).fit(Classifier.wrap(network(CHANGES[name])), tasks)
    origin = Origin(
        Configuration("Plain", {}), "undefended", "toy", "toy", "0-2", "3-5", seed=0, shared=False
    )
    save_model(model, tmp_path / "model.safetensors", SHAPE, origin)
    back = network(CHANGES[name])
    back.load_state_dict(load_file(tmp_path / "model.safetensors"))
    data = tasks.desirable.test
    assert torch.equal(predict(back, data), predict(model, data))
    folded = fold_computed_weights(copy.deepcopy(model))
    assert torch.allclose(predict(folded, data), predict(model, data), atol=1e-5)
    assert not any(map(parametrize.is_parametrized, folded.modules()))


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).T


class Grown(nn.Module):
    """A parametrization with a weight of its own, as adapters are."""

    def __init__(self) -> None:
        super().__init__()
        self.added = nn.Parameter(torch.randn(32, 32))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.added


class OneWay(Symmetric):
    def right_inverse(self, weight: Tensor) -> Tensor:
        if not torch.equal(weight, weight.T):
            raise ValueError("not symmetric")
        return weight


def parametrized(
    part: nn.Module, begin: Callable[[Tensor], Tensor] = lambda weight: weight
) -> Classifier:
    layer = nn.Linear(32, 32)
    layer.weight = nn.Parameter(begin(layer.weight.detach()))
    parametrize.register_parametrization(layer, "weight", part)
    return Classifier(nn.Sequential(nn.Flatten(), layer, nn.ReLU()), nn.Linear(32, 3))


def test_parametrization_without_inverse_starts_from_the_weight() -> None:
    model = parametrized(Symmetric())
    drawn = used_weights(model.reinitialised(1))[0]
    assert torch.equal(drawn, drawn.T)
    assert not torch.equal(drawn, used_weights(model)[0])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: parametrized(Grown()), "got Grown, which holds weights and has none"),
        (lambda: parametrized(OneWay(), lambda one: one + one.T), "got .*Linear .not symmetric"),
    ],
)
def test_names_a_parametrization_that_cannot_draw(
    make: Callable[[], Classifier], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        make().reinitialised(1)
    assert len(str(caught.value).splitlines()) == 1


def test_one_layer_block_exposes_its_weights() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        layer: Any = nn.utils.weight_norm(nn.Conv2d(1, 4, 5))
    model = Classifier.wrap(
        nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 24 * 24, 5)), head="3"
    )
    fresh = model.reinitialised(1)
    first, drawn = (cast(Any, one.backbone)[0] for one in (model, fresh))
    assert torch.allclose(first.weight, layer.weight)
    assert not torch.allclose(first.weight, drawn.weight)
    with pytest.raises(AttributeError, match="nothing"):
        _ = first.nothing
