"""What a run can say: a scratch arm that is not random, and layers that no attack can go into."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rootbound import compare, evaluate
from rootbound.attacks import Budget, ExactLastLayer, FineTune
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.flags import ONE_BLOCK, flags
from rootbound.inspection.likeness import measure_likeness
from rootbound.methods import Plain
from rootbound.networks import Classifier, deep_cnn, shallow_cnn, small_vit
from rootbound.networks.one_block import count_layers_in_one_block
from rootbound.records import Evaluation
from rootbound.report.headline import describe_gains
from rootbound.suites import Suite
from rootbound.training import Recipe

SUITE = Suite(
    "scope-1", (ExactLastLayer(1e-2), FineTune(None, "kept", "adam", 1e-2)), (Budget(5, 5),)
)
SHAPE = (1, 16, 16)
ALIKE = "scratch has the given features"
UNSEEN = "seen as one block"


class Hidden(nn.Module):
    """A network whose parameters nearly do nothing: what it computes with is no tensor of its own.

    Args:
        network: What it computes with, where no list of parameters or buffers shows it.
    """

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.held = [network]
        self.decoy = nn.Linear(256, network.head.in_features)

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.held[0].backbone(inputs)
        found: Tensor = features + 1e-3 * self.decoy(inputs.flatten(1)).relu()
        return found


class Opaque(nn.Module):
    """Runs its layers as the sums of its inputs say: no trace of it holds for others."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = inputs if float(inputs.sum()) < 1e9 else -inputs
        for layer in self.layers:
            outputs = layer(outputs)
        return outputs


def found_in(evaluation: Evaluation) -> set[str]:
    return {one.flag for one in flags(evaluation)}


def trained(model: Classifier, tasks: TaskPair) -> Classifier:
    return Plain(Recipe(epochs=3)).fit(model, tasks)


def mlp(*widths: int) -> list[nn.Module]:
    parts: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in zip((256, *widths), widths, strict=False):
        parts += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
    return parts


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_flags_a_scratch_arm_with_given_features(noise: float, toy_tasks: TaskPair) -> None:
    own = trained(shallow_cnn(3, SHAPE), toy_tasks)
    if noise:
        own = copy.deepcopy(own)
        for value in own.parameters():
            value.data += noise * torch.randn_like(value) * value.std()
    fake = Classifier(Hidden(own), copy.deepcopy(own.head))
    found = evaluate(fake, toy_tasks, suite=SUITE, seeds=1)
    assert ALIKE in found_in(found)
    said = [sentence for sentence in describe_gains(found, "defended") if "not valid" in sentence]
    assert len(said) == 1


HONEST: dict[str, Callable[[], Classifier]] = {
    "shallow": lambda: shallow_cnn(3, SHAPE),
    "deep": lambda: deep_cnn(3, SHAPE),
    "transformer": lambda: small_vit(3, SHAPE),
    "linear": lambda: Classifier.wrap(nn.Sequential(nn.Flatten(), nn.Linear(256, 3))),
    "one hidden layer": lambda: Classifier(nn.Sequential(*mlp(16)), nn.Linear(16, 3)),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_networks_raise_no_flag(name: str, toy_tasks: TaskPair) -> None:
    model = trained(HONEST[name](), toy_tasks)
    found = evaluate(model, toy_tasks, suite=SUITE, seeds=1)
    assert not found_in(found) & {ALIKE, UNSEEN, "scratch above a small network"}
    assert not any(
        "not valid" in said or said == ONE_BLOCK for said in describe_gains(found, "defended")
    )


def test_similarity_ignores_order_and_size_of_units(
    toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = trained(shallow_cnn(3, SHAPE), toy_tasks), toy_tasks.undesirable.train
    assert measure_likeness(model, data)["likeness_to_given"] < 0.6
    turned = copy.deepcopy(model)
    last = [part for part in turned.backbone.modules() if isinstance(part, nn.Linear)][-1]
    with torch.no_grad():
        for value in last.parameters():
            value.copy_(3 * value.flip(0))
    monkeypatch.setattr(Classifier, "reinitialised", lambda *_: turned)
    assert measure_likeness(model, data)["likeness_to_given"] == pytest.approx(1)


def test_flags_an_opaque_network_as_one_block(toy_tasks: TaskPair) -> None:
    model = Classifier(Opaque(*mlp(16, 16)), nn.Linear(16, 3))
    assert count_layers_in_one_block(model) == 2
    found = compare([Plain(Recipe(epochs=1))], toy_tasks, model, suite=SUITE, seeds=1)
    assert found.context["layers"] == 2
    assert UNSEEN in found_in(found)
    audited = evaluate(model, toy_tasks, suite=SUITE, seeds=1)
    assert UNSEEN in found_in(audited)
    assert ONE_BLOCK in describe_gains(audited, "defended")


@pytest.mark.parametrize(
    ("backbone", "layers"),
    [
        (Opaque(*mlp(16)), None),
        (Opaque(nn.Flatten()), None),
        (Opaque(*mlp(16, 16, 16)), 3),
        (nn.Sequential(*mlp(16, 16)), None),
        (Opaque(nn.Embedding(9, 8), nn.LSTM(8, 8, num_layers=2)), 3),
        (Opaque(nn.Conv2d(1, 2, 3), nn.LayerNorm([2, 14, 14]), nn.Flatten()), None),
        (Opaque(nn.utils.parametrizations.weight_norm(nn.Linear(9, 9)), nn.ReLU()), None),
    ],
)
def test_counts_layers_within_one_block(backbone: nn.Module, layers: int | None) -> None:
    assert count_layers_in_one_block(Classifier(backbone, nn.Linear(16, 3))) == layers


class Closed(nn.Module):
    """Holds a tensor beside its parameters, in a way that cannot be traced, and uses it or not."""

    def __init__(self, *, used: bool) -> None:
        super().__init__()
        self.layer, self.used = nn.Linear(256, 16), used
        self.beside = [torch.randn(16, 16)]

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layer(
            inputs.flatten(1) if float(inputs.sum()) < 1e9 else -inputs
        ).relu()
        return outputs @ self.beside[0] if self.used else outputs


@pytest.mark.parametrize("used", [False, True])
def test_refuses_a_tensor_used_beside_the_parameters(used: bool, toy_tasks: TaskPair) -> None:
    model = Classifier(Closed(used=used), nn.Linear(16, 3))
    if used:
        with pytest.raises(InputError, match=r"beside\[0\], a tensor that is neither parameter"):
            evaluate(model, toy_tasks, suite=SUITE, seeds=1)
    else:
        assert evaluate(model, toy_tasks, suite=SUITE, seeds=1).complete
