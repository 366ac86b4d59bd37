"""Stacked heads against one-by-one training; the exact head against scikit-learn and theory."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks import Attacker, ExactLastLayer, LastLayer
from rootbound.attacks.probes.exact_last_layer import LinearHeads
from rootbound.attacks.probes.last_layer import StackedHeads
from rootbound.data import Data
from rootbound.networks import Classifier

WIDTH, CLASSES = 6, 3


def problem(seed: int = 0, count: int = 200) -> Data:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    centres = torch.randn(CLASSES, WIDTH, generator=generator)
    return Data(centres[labels] + torch.randn(count, WIDTH, generator=generator), labels)


def start() -> Classifier:
    torch.manual_seed(5)
    return Classifier(nn.Sequential(), nn.Linear(WIDTH, CLASSES))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def attacker(data: Data, steps: int) -> Attacker:
    return Attacker(data, steps, generator())


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_stacked_heads_equal_training_one_by_one(optimiser: str) -> None:
    rates = (1e-3, 1e-2, 0.3)
    trials = [LastLayer("sgd" if optimiser == "sgd" else "adam", rate, 32) for rate in rates]
    data = problem()
    *_, last = LastLayer.transfer_together(trials, start(), attacker(data, 25))
    assert isinstance(last.model, StackedHeads)
    for i, rate in enumerate(rates):
        head = start().head
        reference: torch.optim.Optimizer = (
            torch.optim.SGD(head.parameters(), rate, momentum=0.9)
            if optimiser == "sgd"
            else torch.optim.Adam(head.parameters(), rate)
        )
        for inputs, labels in data.batches(32, 25, generator()):
            reference.zero_grad()
            functional.cross_entropy(head(inputs), labels).backward()
            reference.step()
        assert torch.allclose(last.model.weights[:, i, :-1], head.weight, atol=2e-5)
        assert torch.allclose(last.model.weights[:, i, -1], head.bias, atol=2e-5)


def test_trial_is_the_same_alone_and_stacked() -> None:
    trials = [LastLayer("adam", rate) for rate in (1e-3, 1e-2, 1e-1)]
    inputs, _ = problem(1).batch(slice(None))
    *_, together = LastLayer.transfer_together(trials, start(), attacker(problem(), 10))
    *_, alone = trials[1].transfer(start(), attacker(problem(), 10))
    assert torch.allclose(together.model(inputs)[:, 1], alone.model(inputs)[:, 0], atol=1e-5)


def exact(data: Data, *trials: ExactLastLayer) -> tuple[LinearHeads, tuple[dict[str, float], ...]]:
    (snapshot,) = ExactLastLayer.transfer_together(trials, start(), attacker(data, 1))
    assert isinstance(snapshot.model, LinearHeads)
    return snapshot.model, snapshot.certificates


@pytest.mark.parametrize("penalty", [1e-1, 1e-3, 1e-5])
def test_finds_the_optimum_of_scikit_learn(penalty: float) -> None:
    data = problem()
    heads, (certificate,) = exact(data, ExactLastLayer(penalty))
    whitened = heads.coordinates(data.inputs)
    with_bias = torch.cat([whitened, torch.ones(len(data), 1)], dim=1).numpy()
    reference = LogisticRegression(
        C=1 / (penalty * len(data)), fit_intercept=False, tol=1e-10, max_iter=10_000
    ).fit(with_bias, data.labels.numpy())
    assert torch.allclose(heads.heads[0], torch.from_numpy(reference.coef_), atol=2e-2)
    theirs = torch.from_numpy(with_bias) @ torch.from_numpy(reference.coef_).T

    def objective(logits: Tensor, weights: Tensor) -> float:
        loss = functional.cross_entropy(logits, data.labels)
        return float(loss + penalty / 2 * weights.square().sum())

    ours = objective(heads(data.inputs)[:, 0], heads.heads[0])
    best = objective(theirs, torch.from_numpy(reference.coef_))
    assert ours == pytest.approx(best, abs=1e-6)
    assert ours - best <= certificate["duality_gap"] + 1e-12


def test_certificate_is_the_duality_gap() -> None:
    """P(W) - D(p) computed from its definition, at a point that is no optimum."""
    data, penalty = problem(), 1e-2
    heads, (certificate,) = exact(data, ExactLastLayer(penalty, iterations=3))
    inputs = heads.coordinates(data.inputs)
    inputs = torch.cat([inputs, torch.ones(len(data), 1)], dim=1)
    weights = heads.heads[0]
    logits = inputs @ weights.T
    primal = functional.cross_entropy(logits, data.labels) + penalty / 2 * weights.square().sum()
    probabilities = logits.softmax(1)
    truth = functional.one_hot(data.labels).double()
    dual_weights = (truth - probabilities).T @ inputs / (len(data) * penalty)
    entropy = -(probabilities * probabilities.log()).sum(1).mean()
    dual = entropy - penalty / 2 * dual_weights.square().sum()
    assert certificate["duality_gap"] > 1e-6
    assert float(primal - dual) == pytest.approx(certificate["duality_gap"], rel=1e-6)


def test_every_trial_is_certified() -> None:
    trials = [ExactLastLayer(penalty) for penalty in (1e-5, 1e-1, 1e-3)]
    heads, certificates = exact(problem(), *trials)
    assert all(certificate["duality_gap"] < 1e-5 for certificate in certificates)
    losses = [certificate["training_loss"] for certificate in certificates]
    # A smaller penalty fits the training set better: the order given is the order kept.
    assert losses[0] < losses[2] < losses[1]
    assert heads(problem().inputs).shape == (200, 3, CLASSES)


@pytest.mark.parametrize("condition", [1e2, 1e4, 1e6])
def test_whitened_probe_is_invariant_under_invertible_maps(condition: float) -> None:
    """The theorem behind it: bad conditioning, the whole of some defences, changes nothing."""
    data, fresh = problem(), problem(1)
    random = torch.Generator().manual_seed(3)
    left, _ = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=random, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=random, dtype=torch.float64))
    stretch = torch.logspace(0, -float(torch.tensor(condition).log10()), WIDTH, dtype=torch.float64)
    mixing = left @ torch.diag(stretch) @ right

    def moved(part: Data) -> Data:
        return Data(part.inputs.double() @ mixing + 3.0, part.labels)

    straight, _ = exact(data, ExactLastLayer(1e-4))
    bent, _ = exact(moved(data), ExactLastLayer(1e-4))
    there = bent(moved(fresh).inputs)[:, 0].softmax(-1)
    assert torch.allclose(straight(fresh.inputs)[:, 0].softmax(-1), there, atol=2e-3)


def test_constant_and_dead_features_do_no_harm() -> None:
    data = problem()
    dead = torch.cat([data.inputs, torch.zeros(200, 2), torch.ones(200, 1)], dim=1)
    alive, _ = exact(data, ExactLastLayer(1e-3))
    extended, _ = exact(Data(dead, data.labels), ExactLastLayer(1e-3))
    assert torch.allclose(alive(data.inputs), extended(dead), atol=1e-3)
    nothing = Data(torch.zeros(30, 4), torch.arange(30) % CLASSES)
    for trial in (ExactLastLayer(1e-3, "whitened"), ExactLastLayer(1e-3, "standardised")):
        heads, _ = exact(nothing, trial)
        assert bool(torch.isfinite(heads(torch.randn(5, 4))).all())


def test_folding_into_a_linear_layer_changes_nothing() -> None:
    data = problem()
    heads, _ = exact(data, ExactLastLayer(1e-3))
    folded = heads.as_linear(0)(data.inputs).double()
    assert torch.allclose(folded, heads(data.inputs)[:, 0], atol=1e-4)
