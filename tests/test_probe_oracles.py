"""Probes against brute force in float64, and against what may be hidden in features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.kernel_ridge import KernelRidge as ReferenceKernelRidge
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks import (
    Attack,
    Attacker,
    DiscriminantHead,
    ExactLastLayer,
    KernelRidge,
    LastLayer,
    NearestNeighbours,
    PerceptronProbe,
    RidgeHead,
)
from rootbound.attacks.probes.coordinates import (
    Coordinates,
    decomposition_flops,
    find_coordinates,
)
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.training import seeded

WIDTH, CLASSES = 6, 3
PROBES: tuple[Attack, ...] = (
    LastLayer("adam", 0.03),
    ExactLastLayer(1e-2),
    ExactLastLayer(1e-2, "standardised"),
    RidgeHead(1e-2),
    RidgeHead(1e-2, "whitened"),
    DiscriminantHead(0.1),
    NearestNeighbours(3),
    NearestNeighbours(3, "cosine"),
    PerceptronProbe(32, 1e-2),
    KernelRidge(),
)
WHITENED: tuple[Attack, ...] = (
    ExactLastLayer(1e-2),
    RidgeHead(1e-2, "whitened"),
    DiscriminantHead(0.1, "whitened"),
    NearestNeighbours(3),
    KernelRidge(coordinates="whitened"),
)


def problem(count: int = 150, seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    centres = 2 * torch.randn(CLASSES, WIDTH, generator=generator)
    return Data(centres[labels] + torch.randn(count, WIDTH, generator=generator), labels)


def logits(attack: Attack, train: Data, inputs: Tensor, steps: int = 60) -> Tensor:
    head = Classifier(nn.Sequential(), nn.Linear(train.shape[0], CLASSES))
    with seeded(0) as generator, torch.no_grad():
        torch.nn.init.zeros_(head.head.weight)
    with seeded(0) as generator:
        *_, last = attack.transfer(head, Attacker(train, steps, generator))
    with torch.no_grad():
        found: Tensor = last.model(inputs)
    return found.reshape(len(inputs), CLASSES).double()


def standardised(data: Data, inputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
    train = data.inputs.double()
    mean, deviation = train.mean(0), train.std(0, correction=0)
    return ((train - mean) / deviation).numpy(), ((inputs.double() - mean) / deviation).numpy()


@pytest.mark.parametrize("count", [150, WIDTH - 1])
def test_ridge_equals_ridge_regression(count: int) -> None:
    data, new = problem(count), problem(50, 1).inputs
    train, test = standardised(data, new)
    targets = functional.one_hot(data.labels).double().numpy()
    reference = Ridge(alpha=0.05 * len(data)).fit(train, targets)
    assert np.allclose(logits(RidgeHead(0.05), data, new) / 10, reference.predict(test), atol=1e-8)


@pytest.mark.parametrize("count", [150, WIDTH - 1])
def test_discriminant_equals_shrunk_lda(count: int) -> None:
    data, new = problem(count), problem(50, 1).inputs
    train, test = standardised(data, new)
    means = np.stack([train[data.labels.numpy() == label].mean(0) for label in range(CLASSES)])
    within = train - means[data.labels.numpy()]
    covariance = within.T @ within / len(train)
    shrunk = 0.7 * covariance + 0.3 * np.trace(covariance) / WIDTH * np.eye(WIDTH)
    inverse = np.linalg.inv(shrunk)
    distances = np.stack(
        [np.einsum("nd,de,ne->n", test - mean, inverse, test - mean) for mean in means], axis=1
    )
    ours = logits(DiscriminantHead(0.3), data, new).numpy()
    # Logits and half the distances differ by the same number for every class.
    both = ours + 0.5 * distances
    assert np.allclose(both - both[:, :1], 0.0, atol=1e-8)
    if count > WIDTH:  # theirs shrinks each class before pooling, and so wants some of each
        theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(train, data.labels)
        assert (theirs.predict(test) == ours.argmax(1)).mean() > 0.95


def test_neighbours_equal_brute_force() -> None:
    data, new = problem(), problem(50, 1).inputs
    train = data.inputs.double() - data.inputs.double().mean(0)
    placed = train @ torch.linalg.inv(torch.linalg.cholesky(train.T @ train / len(train))).T
    moved = new.double() - data.inputs.double().mean(0)
    moved = moved @ torch.linalg.inv(torch.linalg.cholesky(train.T @ train / len(train))).T
    reference = KNeighborsClassifier(5).fit(placed.numpy(), data.labels.numpy())
    votes = reference.predict_proba(moved.numpy()) * 5
    ours = logits(NearestNeighbours(5), data, new).exp().numpy() * (5 + 0.1 * CLASSES) - 0.1
    assert np.allclose(ours, votes, atol=1e-5)
    cosine = KNeighborsClassifier(1, metric="cosine").fit(data.inputs.numpy(), data.labels.numpy())
    chosen = logits(NearestNeighbours(1, "cosine"), data, new).argmax(1).numpy()
    assert (chosen == cosine.predict(new.numpy())).all()


def test_kernel_ridge_equals_a_plain_solve() -> None:
    data, new = problem(), problem(50, 1).inputs
    train, test = standardised(data, new)
    distances = np.linalg.norm(train[:, None] - train[None], axis=2)
    upper = distances[np.triu_indices(len(train), 1)]
    scale = 0.5 * float(torch.from_numpy(upper).median())
    targets = functional.one_hot(data.labels).double().numpy()
    offset = targets.mean(0)
    reference = ReferenceKernelRidge(alpha=1e-2, kernel="rbf", gamma=0.5 / scale**2)
    reference.fit(train, targets - offset)
    ours = logits(KernelRidge(0.5, 1e-2), data, new).numpy() / 10
    assert np.allclose(ours, reference.predict(test) + offset, atol=1e-6)


def test_perceptron_reads_what_no_linear_head_can() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(600, 2, generator=generator)
    labels = (inputs[:, 0] * inputs[:, 1] > 0).long() + (inputs[:, 0] > 3).long()
    labels[0] = 2
    data = Data(inputs, labels)
    linear = (logits(ExactLastLayer(1e-4), data, inputs).argmax(1) == labels).float().mean()
    small = logits(PerceptronProbe(32, 2e-2), data, inputs, 200).argmax(1)
    assert linear < 0.7
    assert (small == labels).float().mean() > 0.9


@pytest.mark.parametrize("probe", WHITENED, ids=repr)
def test_whitening_undoes_any_invertible_map(probe: Attack) -> None:
    data, new = problem(), problem(50, 1).inputs
    generator = torch.Generator().manual_seed(3)
    left, _ = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator).double())
    mixing = (left * torch.logspace(0, -6, WIDTH).double()) @ left.T
    hidden = Data((data.inputs.double() @ mixing).float(), data.labels)
    plain = logits(probe, data, new)
    found = logits(probe, hidden, (new.double() @ mixing).float())
    assert (plain.argmax(1) == found.argmax(1)).float().mean() > 0.97


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("probe", [one for one in PROBES if type(one) is not LastLayer], ids=repr)
def test_scale_hides_nothing(probe: Attack, scale: float) -> None:
    data, new = problem(), problem(60, 0).inputs
    scaled = Data(scale * data.inputs, data.labels)
    reached = (logits(probe, scaled, scale * new).argmax(1) == torch.arange(60) % CLASSES).float()
    assert reached.mean() > 0.9


def test_scale_hides_nothing_from_rates_in_units_of_curvature() -> None:
    data, new = problem(), problem(60, 0).inputs
    for scale in (1.0, 1e3):
        scaled = Data(scale * data.inputs, data.labels)
        found = logits(LastLayer("sgd", 1.0, unit="curvature"), scaled, scale * new)
        assert (found.argmax(1) == torch.arange(60) % CLASSES).float().mean() > 0.9


@pytest.mark.parametrize("probe", PROBES, ids=repr)
def test_probes_survive_dead_features_and_single_samples(probe: Attack) -> None:
    inputs = torch.ones(CLASSES, WIDTH)
    dead = Data(inputs, torch.arange(CLASSES))
    assert bool(logits(probe, dead, inputs).isfinite().all())
    half = problem(CLASSES)
    half.inputs[:, 2:] = 0.0
    assert bool(logits(probe, half, half.inputs).isfinite().all())


def test_class_without_samples_is_never_chosen() -> None:
    data, new = problem(), problem(50, 1).inputs
    there = data.select((data.labels != 1).nonzero().squeeze(1))
    found = logits(DiscriminantHead(0.1), there, new)
    assert bool(found.isfinite().all())
    assert not bool((found.argmax(1) == 1).any())


def test_nearest_whitened_mean_is_a_discriminant() -> None:
    data, new = problem(), problem(50, 1).inputs
    train = data.inputs.double().numpy()
    mean = train.mean(0)
    values, vectors = np.linalg.eigh(np.cov(train.T, bias=True))
    placed, test = ((part - mean) @ (vectors / np.sqrt(values)) for part in (train, new.numpy()))
    means = np.stack([placed[data.labels.numpy() == label].mean(0) for label in range(CLASSES)])
    nearest = ((test[:, None] - means) ** 2).sum(2).argmin(1)
    assert (logits(DiscriminantHead(1.0, "whitened"), data, new).argmax(1).numpy() == nearest).all()


@pytest.mark.parametrize("metric", ["whitened", "cosine"])
def test_larger_k_does_not_outvote_the_nearest_class(metric: str) -> None:
    data = problem(2 * CLASSES)
    rule = NearestNeighbours(20, "whitened" if metric == "whitened" else "cosine")
    new = problem(60).inputs
    reached = (logits(rule, data, new).argmax(1) == torch.arange(60) % CLASSES).float().mean()
    assert reached > 0.7
    # As many vote as there are of a class.
    assert torch.equal(logits(rule, data, new), logits(replace(rule, count=2), data, new))


def test_nearest_class_wins_equal_votes() -> None:
    inputs = torch.tensor([[1.0], [5.0], [-1.2], [-5.0], [9.0], [-9.0]]).repeat(1, 2)
    inputs[:, 1] = 0.0
    data = Data(inputs, torch.tensor([2, 2, 0, 0, 2, 0]))
    rule = NearestNeighbours(2)
    assert int(logits(rule, data, torch.tensor([[0.0, 0.0]])).argmax(1)) == 2


def rotated(seed: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    orthogonal: Tensor = torch.linalg.qr(torch.randn(width, width, generator=generator).double())[0]
    return orthogonal


def test_ill_conditioned_map_does_not_stop_a_perceptron() -> None:
    """AdamW minds the frame: whitening alone leaves 15 points between these two."""
    width, centres = 128, 0.35 * torch.randn(5, 128, generator=torch.Generator().manual_seed(1))
    labels, tested = torch.arange(400) % 5, torch.arange(2000) % 5
    new = torch.randn(2000, width, generator=torch.Generator().manual_seed(9)) + centres[tested]
    head = Classifier(nn.Sequential(), nn.Linear(width, 5))
    reached: dict[str, list[float]] = {"plain": [], "hidden": []}
    for seed in range(3):
        drawn = torch.randn(400, width, generator=torch.Generator().manual_seed(seed))
        mixing = (rotated(10 + seed, width) * torch.logspace(0, -6, width)) @ rotated(50, width)
        for name, change in (("plain", torch.eye(width).double()), ("hidden", mixing)):
            train = Data(((drawn + centres[labels]).double() @ change).float(), labels)
            generator = torch.Generator().manual_seed(seed)
            *_, last = PerceptronProbe().transfer(head, Attacker(train, 150, generator))
            with torch.no_grad():
                right = last.model((new.double() @ change).float()).argmax(1) == tested
            reached[name].append(float(right.float().mean()))
    assert np.mean(reached["plain"]) > 0.9
    assert abs(np.mean(reached["plain"]) - np.mean(reached["hidden"])) < 0.02


def test_perceptron_draws_only_from_the_attackers_generator() -> None:
    head, data = Classifier(nn.Sequential(), nn.Linear(WIDTH, CLASSES)), problem()
    found = []
    for stream in (0, 1):
        torch.manual_seed(stream)
        attacker = Attacker(data, 3, torch.Generator().manual_seed(0))
        *_, last = PerceptronProbe(8).transfer(head, attacker)
        with torch.no_grad():
            found.append(last.model(data.inputs))
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("probe", WHITENED[1:], ids=repr)
def test_whitening_counts_as_work(probe: Attack) -> None:
    data = problem()
    head = Classifier(nn.Sequential(), nn.Linear(WIDTH, CLASSES))
    *_, last = probe.transfer(head, Attacker(data, 1, torch.Generator().manual_seed(0)))
    assert last.flops >= decomposition_flops(data.inputs) > 2 * len(data) * WIDTH**2


def test_scaling_equals_a_diagonal_matrix_product() -> None:
    with seeded(0):
        features = torch.randn(30, 5) * torch.tensor([1.0, 1e-3, 0.0, 1e3, 1.0])
    found = find_coordinates(features, "standardised")
    as_matrix = Coordinates(found.mean, found.basis)
    for bias in (False, True):
        assert torch.equal(found(features, bias=bias), as_matrix(features, bias=bias))
    assert found(features).shape == (30, 4)
