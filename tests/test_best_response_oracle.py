"""The closed form against independent computations, and its invariances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rootbound.attacks.probes.logistic import LogisticProblem
from rootbound.data import TaskPair
from rootbound.methods import BestResponse, Schedule, Terms
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import pool_outputs
from rootbound.networks.weights import weights_digest
from rootbound.training import Recipe
from rootbound.training.explained_variance import explained_variance, linear_information


def sample(seed: int, count: int = 60, width: int = 7, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = torch.randn(classes, width, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, width, generator=generator, dtype=torch.float64)
    return centres[labels] + noise, labels


def dense_ridge(features: Tensor, labels: Tensor, ridge: float) -> float:
    """Solve the ridge regression by least squares on an extended system, and score the fit."""
    x: NDArray[np.float64] = features.numpy() - features.numpy().mean(0)
    y = np.eye(int(labels.max()) + 1)[labels.numpy()]
    y = y - y.mean(0)
    count, width = x.shape
    loading = ridge * np.trace(x.T @ x / count) / width + 1e-8
    stacked = np.vstack([x, np.sqrt(count * loading) * np.eye(width)])
    targets = np.vstack([y, np.zeros((width, y.shape[1]))])
    head, *_ = np.linalg.lstsq(stacked, targets, rcond=None)
    residual = np.square(y - x @ head).sum() + count * loading * np.square(head).sum()
    return float(1 - residual / np.square(y).sum())


def dense_wilks(features: Tensor, labels: Tensor) -> float:
    """Return log det(total) - log det(within) over classes less one, without a ridge."""
    x: NDArray[np.float64] = features.numpy()
    total = np.cov(x.T, bias=True)
    within = np.zeros_like(total)
    names = np.unique(labels.numpy())
    for label in names:
        members = x[labels.numpy() == label]
        within += len(members) / len(x) * np.cov(members.T, bias=True)
    return float(np.linalg.slogdet(total)[1] - np.linalg.slogdet(within)[1]) / (len(names) - 1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_information_equals_wilks_lambda(seed: int) -> None:
    features, labels = sample(seed)
    found = float(linear_information(features, labels, 1e-13))
    assert found == pytest.approx(dense_wilks(features, labels), rel=2e-3)
    # A class that does not occur has no part in it.
    assert float(linear_information(features, 2 * labels, 1e-13)) == pytest.approx(found, abs=1e-9)


def test_information_and_share_agree_where_little_is_explained() -> None:
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(20_000) % 4
    faint = torch.randn(20_000, 5, generator=generator, dtype=torch.float64)
    faint[:, 0] += 0.05 * labels
    share = float(explained_variance(faint, labels, 1e-6))
    information = float(linear_information(faint, labels, 1e-6))
    assert 0 < share < 2e-3
    # Of balanced classes both are means over the degrees of freedom.
    assert information == pytest.approx(share, rel=0.03)


def test_one_class_carries_no_information() -> None:
    features, _ = sample(1)
    features.requires_grad_(True)
    value = linear_information(features, torch.full((60,), 2), 1e-3)
    value.backward()
    assert float(value.detach()) == 0.0
    assert features.grad is not None and not features.grad.any()


def test_separated_class_still_has_a_gradient() -> None:
    """Where the explained variance has none left: moving its mean towards the others' pays."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(400) % 4
    features = torch.randn(400, 3, generator=generator, dtype=torch.float64)
    features[labels == 0] += 100.0
    slopes = []
    for value in (explained_variance, linear_information):
        moved = features.clone().requires_grad_(True)
        value(moved, labels, 1e-9).backward()
        assert moved.grad is not None
        slopes.append(float(moved.grad[labels == 0].sum()))
    assert slopes[1] > 100 * slopes[0] > 0


@pytest.mark.parametrize("ridge", [1e-6, 1e-3, 1e-1, 10.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_share_equals_a_dense_ridge_solve(seed: int, ridge: float) -> None:
    features, labels = sample(seed)
    found = float(explained_variance(features, labels, ridge))
    assert found == pytest.approx(dense_ridge(features, labels, ridge), abs=1e-9)


@pytest.mark.parametrize("value", [explained_variance, linear_information])
def test_gradient_equals_finite_differences(value: Callable[..., Tensor]) -> None:
    features, labels = sample(3, count=12, width=3, classes=3)
    # The ridge is held fixed by design, so the check uses one too small to matter.
    assert torch.autograd.gradcheck(
        lambda x: value(x, labels, 1e-12), features.requires_grad_(True)
    )


@pytest.mark.parametrize("value", [explained_variance, linear_information])
def test_solves_half_precision_in_full_precision(value: Callable[..., Tensor]) -> None:
    features, labels = sample(4, count=192, width=64)
    full = float(value(features.bfloat16().float(), labels, 1e-3))
    with torch.autocast("cpu", torch.bfloat16):
        assert float(value(features.bfloat16(), labels, 1e-3)) == pytest.approx(full, rel=1e-5)


def test_share_lies_between_zero_and_one() -> None:
    labels = torch.arange(400) % 4
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(400, 3, generator=generator, dtype=torch.float64)
    assert float(explained_variance(noise, labels, 1e-6)) < 0.05
    perfect = torch.nn.functional.one_hot(labels).double()
    assert float(explained_variance(perfect, labels, 1e-9)) == pytest.approx(1.0, abs=1e-6)
    constant = torch.ones(400, 5, dtype=torch.float64)
    assert float(explained_variance(constant, labels, 1e-3)) == 0.0


def test_share_is_invariant_under_invertible_maps_and_shifts() -> None:
    features, labels = sample(5)
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(7, 7, generator=generator, dtype=torch.float64)
    scaling = torch.logspace(0, 3, 7, dtype=torch.float64)
    moved = features @ mixing * scaling + 100.0
    plain = float(explained_variance(features, labels, 1e-13))
    assert float(explained_variance(moved, labels, 1e-13)) == pytest.approx(plain, abs=1e-4)


def test_scaling_features_gains_nothing() -> None:
    features, labels = sample(6)
    tiny = (1e-2 * features).requires_grad_(True)
    value = explained_variance(tiny, labels, 1e-3)
    assert float(value.detach()) == pytest.approx(
        float(explained_variance(features, labels, 1e-3)), abs=1e-3
    )
    value.backward()
    assert tiny.grad is not None
    # Along the features themselves, that is under a change of scale, the gradient is small:
    # only the fixed ridge makes it more than zero.
    along = (tiny.grad * tiny.detach()).sum().abs() / (tiny.grad.norm() * tiny.detach().norm())
    assert float(along) < 0.05


def test_no_linear_head_beats_a_constant_when_share_is_zero() -> None:
    """Theorem 1 of docs/method.md, for cross-entropy as well as for least squares."""
    features, labels = sample(8, count=400, width=6)
    means = torch.stack([features[labels == label].mean(0) for label in range(4)])
    level = features - means[labels]
    assert float(explained_variance(level, labels, 1e-9)) == pytest.approx(0.0, abs=1e-12)
    inputs = torch.cat([level, torch.ones(400, 1, dtype=torch.float64)], dim=1)
    problem = LogisticProblem(inputs.numpy(), labels.numpy(), 4)
    weights, _ = problem.solve(np.ones((4, 7)), penalty=1e-9, iterations=500)
    assert np.abs(weights[:, :-1] - weights[:, :-1].mean(0)).max() < 1e-3
    constant = float(np.log(4))
    logits = torch.from_numpy(inputs.numpy() @ weights.T)
    reached = float(torch.nn.functional.cross_entropy(logits, labels))
    assert reached == pytest.approx(constant, abs=1e-6)


@pytest.mark.parametrize(("count", "width"), [(192, 128), (512, 128), (192, 64)])
def test_share_of_noise_is_dimensions_over_samples(count: int, width: int) -> None:
    """Without any dependence a batch still explains D / (N - 1) on average."""
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(20):
        noise = torch.randn(count, width, generator=generator)
        labels = torch.randint(5, (count,), generator=generator)
        values.append(float(explained_variance(noise, labels, 1e-6)))
    assert sum(values) / len(values) == pytest.approx(width / (count - 1), rel=0.05)


@pytest.mark.parametrize("level", [None, 0.05, 2.0])
@pytest.mark.parametrize(
    ("progress", "weight"), [(0.0, 0.0), (0.19, 0.0), (0.4, 0.15), (0.6, 0.3), (1.0, 0.3)]
)
def test_loss_equals_its_parts_computed_by_hand(
    progress: float, weight: float, level: float | None
) -> None:
    generator = torch.Generator().manual_seed(4)
    first, last, head = nn.Linear(9, 8), nn.Linear(8, 6), nn.Linear(6, 3)
    backbone = nn.Sequential(
        nn.Sequential(nn.Flatten(), first, nn.ReLU()), nn.Sequential(last, nn.ReLU(inplace=True))
    )
    model = Classifier(backbone, head).double()
    inputs = torch.randn(40, 1, 3, 3, generator=generator, dtype=torch.float64)
    others = torch.randn(60, 1, 3, 3, generator=generator, dtype=torch.float64)
    wanted, labels = torch.arange(40) % 3, torch.arange(60) % 4
    method = BestResponse(
        weight=0.3,
        terms=Terms(before_activation=0.5, first_weight=0.25, projection=8),
        schedule=Schedule(first_block_until=0.9, wait=0.2, warm_in=0.4),
    )
    levels, ridge = () if level is None else (level,), method.terms.ridge
    batches = (inputs, wanted), (others, labels)
    found = float(method.loss(model, *batches, progress, levels).detach())
    with torch.no_grad():
        hidden = (others.flatten(1) @ first.weight.T + first.bias).clamp_min(0)
        given = hidden @ last.weight.T + last.bias
        own = (inputs.flatten(1) @ first.weight.T + first.bias).clamp_min(0)
        logits = head((own @ last.weight.T + last.bias).clamp_min(0))
        task = -logits.log_softmax(1)[torch.arange(40), wanted].mean()
        informed = linear_information(given.clamp_min(0), labels, ridge)
        informed = informed + 0.5 * linear_information(given, labels, ridge)
    # The first block's term is there for as long as the block is trained.
    share = 0.25 if progress < 0.9 else 0.0
    above = max(0.0, dense_ridge(hidden, labels, ridge) - (level or 0.0))
    explained = float(informed) + share * above
    assert found == pytest.approx(float(task) + weight * explained, abs=1e-9)


def test_allowance_is_the_share_of_random_weights(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    def measured(spared: float) -> tuple[float, ...]:
        generator = torch.Generator().manual_seed(0)
        batches = toy_tasks.known_undesirable.batches(90, 8, generator)
        return Terms(spared=spared, projection=4096).random_levels(toy_model, batches, generator)

    none, half, levels = (measured(spared) for spared in (0.0, 0.5, 1.0))
    assert len(levels) == len(toy_model.blocks) - 1
    for low, middle, high in zip(none, half, levels, strict=True):
        assert 0 < low < high < 1
        assert middle == pytest.approx((low + high) / 2)
    inputs, labels = toy_tasks.known_undesirable.batch(slice(0, 90))
    outputs, fresh = inputs, toy_model.reinitialised(0)
    with torch.no_grad():
        for block, level in zip(fresh.blocks[:-1], levels, strict=True):
            outputs = block(outputs)
            features = pool_outputs(block, outputs)
            assert level == pytest.approx(dense_ridge(features, labels, Terms().ridge), abs=0.02)


def test_random_weights_are_measured_in_train_mode() -> None:
    features, labels = sample(6)
    inputs = features.float() + 5.0  # far from what a fresh norm's statistics say
    first = nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.ReLU())
    last = nn.Sequential(nn.Linear(5, 4), nn.ReLU())
    model = Classifier(nn.Sequential(first, last), nn.Linear(4, 3)).eval()
    generator = torch.Generator().manual_seed(0)
    (level,) = Terms().random_levels(model, [(inputs, labels)], generator)
    with torch.no_grad():
        outputs = model.reinitialised(0).train().blocks[0](inputs)
    assert level == pytest.approx(dense_ridge(outputs, labels, Terms().ridge), rel=1e-3)


@dataclass(frozen=True)
class WithoutLevels(BestResponse):
    """The method with levels of 0."""

    def random_levels(
        self, model: Classifier, tasks: TaskPair, generator: torch.Generator
    ) -> tuple[float, ...]:
        return (0.0,) * (len(model.blocks) - 1)


def test_spared_zero_allows_nothing(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    recipe, schedule = Recipe(1, 30), Schedule(wait=0.0, finishing_steps=0)
    methods = [
        BestResponse(recipe, terms=Terms(spared=0.0), schedule=schedule),
        WithoutLevels(recipe, schedule=schedule),
        BestResponse(recipe, schedule=schedule),
    ]
    fitted = [weights_digest(method.fit(toy_model, toy_tasks).state_dict()) for method in methods]
    assert fitted[0] == fitted[1] != fitted[2]
