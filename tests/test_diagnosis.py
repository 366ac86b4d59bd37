"""Diagnosis: each number by hand, on networks made for it; nothing crashes and nothing changes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rootbound.data import Data, Task, TaskPair
from rootbound.evaluation import compare
from rootbound.inspection.diagnosis import MEASURES, diagnose
from rootbound.methods import Plain
from rootbound.networks import Classifier, deep_cnn, shallow_cnn
from rootbound.records import Evaluation
from rootbound.suites import Suite
from rootbound.training import Recipe


def pair(desirable: Tensor, undesirable: Tensor, classes: int = 2) -> TaskPair:
    """Return tasks of vectors whose labels take turns."""

    def task(name: str, inputs: Tensor) -> Task:
        data = Data(inputs, torch.arange(len(inputs)) % classes)
        return Task(name, tuple("abcdef"[:classes]), data, data)

    other = task("undesirable", undesirable)
    return TaskPair(task("desirable", desirable), other, other.train)


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.zeros(len(weight)) if bias is None else bias)
    return layer


@pytest.fixture
def cloud() -> Tensor:
    return torch.randn(64, 4, generator=torch.Generator().manual_seed(0))


class Noisy(nn.Module):
    """Draws random numbers."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + torch.randn_like(inputs)


def test_constant_units_are_dead(cloud: Tensor) -> None:
    # The third unit is never above 0; the last is where inputs are desirable.
    weight = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    hidden = nn.Sequential(linear(weight, torch.tensor([0.0, 0, -1, 0])), nn.ReLU())
    model = Classifier(hidden, nn.Linear(4, 2))
    others = cloud.clone()
    others[:, 3] = -1.0
    others[:16] = -1.0
    found = diagnose(model, pair(cloud, others))
    assert found["dead_units_desirable"] == 0.25
    assert found["dead_units_undesirable"] == 0.5
    blank = (others[:, :2] <= 0).all(1).float().mean()
    assert found["blank_inputs_undesirable"] == pytest.approx(float(blank))
    assert found["blank_inputs_desirable"] < 0.3


def test_effective_rank_and_condition_follow_the_spectrum(cloud: Tensor) -> None:
    centred = cloud - cloud.mean(0)
    white = torch.linalg.qr(centred).Q * 8.0  # covariance is the identity
    model = Classifier(nn.Sequential(nn.Identity()), nn.Linear(4, 2))
    found = diagnose(model, pair(white, white))
    assert found["effective_rank_undesirable"] == pytest.approx(4.0, rel=1e-4)
    assert found["feature_condition_undesirable"] == pytest.approx(1.0, rel=1e-4)
    assert found["feature_scale"] == pytest.approx(float(white.square().mean().sqrt()), rel=1e-5)
    stretched = white * torch.tensor([1.0, 1e-4, 1e-4, 1e-4])
    found = diagnose(model, pair(white, stretched))
    assert found["effective_rank_undesirable"] == pytest.approx(1.0, abs=1e-5)
    assert found["feature_condition_undesirable"] == pytest.approx(1e4, rel=1e-2)
    found = diagnose(model, pair(white, torch.ones(64, 4)))
    assert found["effective_rank_undesirable"] == 0.0


def test_spectra_are_singular_values_of_layers(cloud: Tensor) -> None:
    first = linear(torch.diag(torch.tensor([100.0, 1.0, 0.1, 0.1])))
    model = Classifier(nn.Sequential(first), linear(torch.eye(4)[:2] * 0.5))
    found = diagnose(model, pair(cloud, cloud))
    assert found["spectral_norm_largest"] == pytest.approx(100.0)
    assert found["spectral_norm_ratio"] == pytest.approx(200.0)
    assert found["weight_condition"] == pytest.approx(1000.0, rel=1e-5)


def test_compares_gradients_between_layers(cloud: Tensor) -> None:
    def ratio(factor: float) -> float:
        torch.manual_seed(0)
        first, second = nn.Linear(4, 8), nn.Linear(8, 8)
        with torch.no_grad():
            first.weight.mul_(factor)
            first.bias.mul_(factor)
            second.weight.div_(factor)
        model = Classifier(nn.Sequential(first, nn.ReLU(), second), nn.Linear(8, 2))
        return diagnose(model, pair(cloud, cloud))["gradient_ratio"]

    # The gradient of the first layer shrinks as its weights grow, and the second's grows.
    assert 1e-3 < ratio(1.0) <= 1.0
    assert ratio(1e3) < 1e-10


def test_small_gradients_of_a_new_head_hide_nothing(cloud: Tensor) -> None:
    small = linear(1e-6 * torch.eye(4))
    values = diagnose(Classifier(nn.Sequential(small), nn.Linear(4, 2)), pair(cloud, cloud))
    assert values["gradient_ratio"] == 1.0


def test_measures_running_variances_and_train_mode() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 4, generator=generator)
    inputs[:, 0] = (torch.arange(64) % 2) * 2.0 - 1.0  # which is the label
    norm = nn.BatchNorm1d(4)
    norm.running_var = torch.tensor([1.0, 1e-6, 1e8, 1.0])
    model = Classifier(nn.Sequential(norm), linear(torch.tensor([[-1.0, 0, 0, 0], [1, 0, 0, 0]])))
    found = diagnose(model, pair(inputs, inputs))
    assert found["running_variance_smallest"] == pytest.approx(1e-6)
    assert found["running_variance_largest"] == pytest.approx(1e8)
    assert found["train_mode_difference"] == 0.0
    norm.running_mean = torch.tensor([1e6, 0, 0, 0])  # wrong in evaluation mode alone
    found = diagnose(model, pair(inputs, inputs))
    assert found["train_mode_difference"] == pytest.approx(-0.5)


def test_sorted_data_score_like_shuffled_data_in_train_mode() -> None:
    labels = torch.arange(512) // 256
    inputs = torch.randn(512, 4, generator=torch.Generator().manual_seed(0))
    inputs[:, 0] = 2.0 * labels - 1.0
    norm = nn.BatchNorm1d(4, affine=False)
    model = Classifier(nn.Sequential(norm), linear(torch.tensor([[-1.0, 0, 0, 0], [1, 0, 0, 0]])))
    data = Data(inputs, labels)
    task = Task("sorted", ("a", "b"), data, data)
    assert diagnose(model, TaskPair(task, task, data))["train_mode_difference"] == 0.0


def test_finds_changing_and_non_finite_outputs(cloud: Tensor) -> None:
    tasks = pair(cloud, torch.cat([cloud[:32], torch.full((32, 4), 1e30)]))
    noisy = Classifier(nn.Sequential(Noisy()), nn.Linear(4, 2))
    assert diagnose(noisy, tasks)["changing_outputs"] == 1.0
    large = Classifier(nn.Sequential(linear(1e20 * torch.eye(4))), linear(torch.eye(4)[:2]))
    found = diagnose(large, tasks)
    assert found["not_finite_desirable"] == 0.0
    assert found["not_finite_undesirable"] == 0.5
    assert found["changing_outputs"] == 0.0
    assert found["largest_logit"] == pytest.approx(1e20 * float(cloud[:, :2].abs().max()))
    assert "effective_rank_undesirable" not in found


def test_finds_permuted_classes() -> None:
    inputs = torch.eye(3).repeat(20, 1)
    moved = Classifier(nn.Sequential(nn.Identity()), linear(torch.eye(3).roll(1, 0)))
    found = diagnose(moved, pair(inputs, inputs, classes=3))
    assert found["own_accuracy_undesirable"] == 0.0
    assert found["renamed_accuracy_undesirable"] == 1.0
    assert "own_accuracy_undesirable" not in diagnose(moved, pair(inputs, inputs, classes=2))


def test_skips_what_does_not_exist(cloud: Tensor) -> None:
    tasks = pair(cloud, cloud)
    bare = Classifier(nn.Sequential(nn.Flatten()), nn.Linear(4, 2))
    assert not {"running_variance_largest", "gradient_ratio"} & set(diagnose(bare, tasks))
    broken = Classifier(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), nn.Linear(4, 2))
    with torch.no_grad():
        broken.backbone[0].weight.fill_(math.nan)  # type: ignore[index]
    found = diagnose(broken, tasks)
    assert found["not_finite_undesirable"] == 1.0
    assert "gradient_ratio" not in found
    assert all(math.isfinite(value) for value in found.values())
    wrapped = Classifier.wrap(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)), "2")
    assert diagnose(wrapped, tasks)["dead_units_desirable"] == 0.0


def test_diagnosis_is_repeatable_and_changes_nothing(toy_tasks: TaskPair) -> None:
    model = deep_cnn(3, (1, 16, 16)).train()
    model.backbone.append(nn.Dropout(0.5))  # type: ignore[operator]
    weights, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = diagnose(model, toy_tasks)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(123)
    assert diagnose(model, toy_tasks) == found
    assert model.training
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert list(found) == [name for name in MEASURES if name in found]


def test_every_model_of_a_comparison_is_diagnosed(
    toy_tasks: TaskPair, toy_suite: Suite, tmp_path: Path
) -> None:
    method = Plain(Recipe(epochs=2, batch_size=30))
    model = shallow_cnn(3, (1, 16, 16))
    found = compare([method], toy_tasks, model, suite=toy_suite, seeds=2, folder=tmp_path)
    models = [(one.arm, one.method, one.seed) for one in found.trainings]
    assert [(one.arm, one.method, one.seed) for one in found.diagnoses] == models
    loaded = Evaluation.load(tmp_path)
    for kept, written in zip(found.diagnoses, loaded.diagnoses, strict=True):
        assert written.values == pytest.approx(kept.values, rel=1e-5)
    assert loaded.to_json() == found.to_json()


class Doubled(nn.Module):
    """Doubles a batch, or some of its samples, where it looks a certain way."""

    def __init__(self, where: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.where = where

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * (1 + self.where(inputs).reshape(-1, 1).to(inputs))


def whole(look: Callable[[Tensor], bool]) -> Callable[[Tensor], Tensor]:
    """Return what says of every sample how its batch looks."""
    return lambda inputs: torch.full((len(inputs),), look(inputs))


COMPANY: dict[str, Callable[[Tensor], Tensor]] = {
    "never": whole(lambda inputs: False),
    "alone": whole(lambda inputs: len(inputs) == 1),
    "of_another_size": whole(lambda inputs: len(inputs) in (13, 21, 34)),
    "among_many": whole(lambda inputs: len(inputs) >= 1000),
    "of_both_tasks": whole(
        lambda inputs: len(inputs) > 1 and 0 < int((inputs[:, 0] > 0).sum()) < len(inputs)
    ),
    "at_the_end": lambda inputs: torch.arange(len(inputs)) == 63,
}


@pytest.mark.parametrize("name", COMPANY)
def test_finds_outputs_that_depend_on_the_batch(name: str, cloud: Tensor) -> None:
    """Desirable inputs begin with a positive number, undesirable ones with a negative one."""
    sign = torch.tensor([1.0, 0, 0, 0])
    tasks = pair(cloud.abs() + sign, -cloud.abs() - sign)
    model = Classifier(nn.Sequential(Doubled(COMPANY[name])), nn.Linear(4, 2))
    share = diagnose(model, tasks)["other_in_company"]
    assert (share > 0.01) is (name != "never"), share


@pytest.mark.parametrize("factor", [1.0, -1.0])
def test_larger_number_of_both_tasks_counts(factor: float, cloud: Tensor) -> None:
    """Inputs of one task alone get other outputs in a second call."""

    class Trembling(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs + torch.randn_like(inputs) * (inputs[:, :1] > 0)

    model = Classifier(nn.Sequential(Trembling()), nn.Linear(4, 2))
    positive = factor * (cloud.abs() + 1)
    assert diagnose(model, pair(positive, -positive))["changing_outputs"] == 1.0


def test_largest_logit_may_be_negative(cloud: Tensor) -> None:
    head = linear(torch.zeros(2, 4), torch.tensor([-50.0, 3.0]))
    model = Classifier(nn.Sequential(nn.Identity()), head)
    assert diagnose(model, pair(cloud, cloud))["largest_logit"] == 50.0
