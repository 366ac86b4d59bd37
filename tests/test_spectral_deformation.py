"""The deformed layers against numpy's decomposition, and what they do to function and curvature."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from rootbound.attacks import Attacker
from rootbound.attacks.repairs import BalanceFactors
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.methods.spectral_deformation import SpectralDeformation, deform
from rootbound.networks import Classifier, resnet_20, shallow_cnn
from rootbound.training import seeded


def defended(model: Classifier, tasks: TaskPair, **settings: float) -> Classifier:
    """Return a deformed copy, without training."""
    changed = copy.deepcopy(model).eval()
    with seeded(0) as generator:
        SpectralDeformation(**settings).defend(changed, tasks, generator)  # type: ignore[arg-type]
    return changed


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (5, 2, 3, 3)])
@pytest.mark.parametrize("directions", [1, 3, 50])
def test_factors_equal_the_formulas(shape: tuple[int, ...], directions: int) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inflated, compensation = deform(weight, 1e3, directions)
    matrix = weight.flatten(1).numpy()
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    larger = values.copy()
    larger[:directions] *= 1e3
    np.testing.assert_allclose(inflated.flatten(1).numpy(), left @ np.diag(larger) @ right)
    expected = left @ np.diag(values) @ np.diag(1 / larger) @ left.T
    np.testing.assert_allclose(compensation.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(compensation.numpy() @ inflated.flatten(1).numpy(), matrix)
    assert np.linalg.norm(inflated.flatten(1).numpy(), 2) == pytest.approx(1e3 * values[0])


def test_keeps_the_function(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    inputs, _ = toy_tasks.desirable.test.batch(slice(None))
    before = toy_model.eval()(inputs).detach()
    changed = defended(toy_model, toy_tasks, alpha=1e4)  # float32 keeps about 7 digits
    assert len(changed.blocks) == len(toy_model.blocks)
    scale = float(before.abs().max())
    torch.testing.assert_close(changed(inputs), before, atol=5e-3 * scale, rtol=0)
    exact = defended(copy.deepcopy(toy_model).double(), toy_tasks, alpha=1e6)
    torch.testing.assert_close(
        exact(inputs.double()),
        copy.deepcopy(toy_model).double()(inputs.double()),
        rtol=1e-6,
        atol=1e-8,
    )


def network_of_odd_parts() -> nn.Module:
    """Return one with a shared layer, a computed weight, and layers that their owner reads."""
    shared = nn.Linear(16, 16)
    return nn.Sequential(
        nn.Flatten(),
        weight_norm(nn.Linear(256, 16)),
        nn.Sequential(shared, nn.Tanh(), shared),
        nn.Sequential(shared, nn.Unflatten(1, (2, 8))),
        nn.TransformerEncoderLayer(8, 2, 8, dropout=0.0, batch_first=True),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


def test_keeps_the_function_of_unusual_networks(toy_tasks: TaskPair) -> None:
    torch.manual_seed(0)
    inputs, _ = toy_tasks.desirable.test.batch(slice(None))
    model = Classifier.wrap(network_of_odd_parts(), example=inputs[:1]).eval()
    before = model(inputs).detach()
    changed = defended(model, toy_tasks, alpha=10.0)
    torch.testing.assert_close(changed(inputs), before, atol=1e-4, rtol=0)
    assert sum(1 for _ in changed.modules()) > sum(1 for _ in model.modules())


def curvature(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Return the largest eigenvalue of the loss's Hessian with respect to all weights."""
    names = [name for name, _ in model.named_parameters()]
    shapes = [value.shape for _, value in model.named_parameters()]
    sizes = [shape.numel() for shape in shapes]

    def loss(flat: Tensor) -> Tensor:
        parts = [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
        logits = functional_call(model, dict(zip(names, parts, strict=True)), (inputs,))
        return functional.cross_entropy(logits, labels)

    start = torch.cat([value.detach().flatten() for value in model.parameters()])
    hessian = torch.autograd.functional.hessian(loss, start)
    return float(torch.linalg.matrix_norm(hessian, 2))


def test_curvature_grows_with_alpha(toy_tasks: TaskPair) -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Sequential(nn.Linear(4, 5), nn.ReLU()), nn.Linear(5, 3), nn.ReLU())
    model = Classifier(backbone, nn.Linear(3, 2)).double()
    inputs, labels = torch.randn(20, 4, dtype=torch.float64), torch.arange(20) % 2
    found = [curvature(model, inputs, labels)] + [
        curvature(defended(model, toy_tasks, alpha=alpha, directions=2), inputs, labels)
        for alpha in (1e2, 1e4)
    ]
    assert found[1] > 1e2 * found[0]
    assert found[2] > 1e2 * found[1]


@pytest.mark.parametrize("network", ["shallow_cnn", "resnet_20"])
def test_balancing_the_factors_undoes_it(
    network: str, toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    """As the paper says: whoever multiplies the factors again is where it began."""
    residual = resnet_20(3, (1, 16, 16), width=4)
    model = toy_model if network == "shallow_cnn" else residual
    changed = defended(model, toy_tasks, alpha=1e4)  # float32 keeps about 7 digits
    largest = max(float(value.detach().abs().max()) for value in changed.parameters())
    attacker = Attacker(toy_tasks.undesirable.train, 1, torch.Generator())
    repaired = BalanceFactors().repair(copy.deepcopy(changed), attacker)
    assert largest > 1e2
    assert max(float(value.detach().abs().max()) for value in repaired.parameters()) < 10
    inputs, _ = toy_tasks.desirable.test.batch(slice(None))
    torch.testing.assert_close(repaired(inputs), changed(inputs), atol=1e-2, rtol=1e-2)


class Listed(nn.Module):
    """Takes a sequence for a list, and does something between its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Linear(256, 8), nn.Linear(8, 8))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = inputs.flatten(1)
        for part in self.parts:
            outputs = functional.relu(part(outputs))
        return outputs


def test_leaves_other_layers_unchanged(toy_tasks: TaskPair) -> None:
    model = Classifier(Listed(), nn.Linear(8, 3)).eval()
    attacker = Attacker(toy_tasks.undesirable.train, 1, torch.Generator())
    inputs, _ = toy_tasks.desirable.test.batch(slice(None))
    repaired = BalanceFactors().repair(copy.deepcopy(model), attacker)
    assert torch.equal(repaired(inputs), model(inputs))


def test_refuses_networks_without_products(toy_tasks: TaskPair) -> None:
    model = Classifier(nn.Sequential(nn.Flatten()), nn.Linear(256, 3))
    with pytest.raises(InputError, match="linear or convolutional layers"):
        SpectralDeformation().fit(model, toy_tasks)


def test_leaves_grouped_convolutions_unchanged(toy_tasks: TaskPair) -> None:
    grouped = nn.Conv2d(4, 4, 3, groups=2)
    model = Classifier(nn.Sequential(nn.Conv2d(1, 4, 3), grouped, nn.Flatten()), nn.Linear(576, 3))
    changed = defended(model, toy_tasks)
    kept = [part for part in changed.modules() if isinstance(part, nn.Conv2d) and part.groups == 2]
    assert len(kept) == 1 and torch.equal(kept[0].weight, grouped.weight)
    assert shallow_cnn(classes=3).architecture and not changed.architecture
