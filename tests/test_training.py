"""The loop of a training against one written by hand, and predictions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.data import Augmentation, Batch, Data
from rootbound.training import Recipe, TrainingDiverged, minimise, predict, seeded

STEPS, PEAK = 12, 0.05


def between(start: float, end: float, share: float) -> float:
    """Go from one number to another along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def train_by_hand(weights: Tensor, batches: list[Batch]) -> Tensor:
    """Adam under a one-cycle learning rate, as its paper and torch's documentation have it."""
    first, second = torch.zeros_like(weights), torch.zeros_like(weights)
    top = 0.3 * (STEPS + 1) - 1
    for step, (inputs, targets) in enumerate(batches):
        if step <= top:
            rate = between(PEAK / 25, PEAK, step / top)
            decay = between(0.95, 0.85, step / top)
        else:
            share = (step - top) / (STEPS - top)
            rate, decay = between(PEAK, PEAK / 25 / 1e4, share), between(0.85, 0.95, share)
        gradient = 2 * inputs.T @ (inputs @ weights - targets) / len(inputs)
        first = decay * first + (1 - decay) * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = first / (1 - decay ** (step + 1))
        weights = weights - rate * corrected / ((second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
    return weights


class Linear(nn.Module):
    """A linear map without a bias, and weights that are not to be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.linspace(-1, 1, 3, dtype=torch.float64))
        self.frozen = nn.Parameter(torch.ones(3, dtype=torch.float64), requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ (self.weights * self.frozen)


def pairs() -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(STEPS, 5, 3, generator=generator, dtype=torch.float64)
    return [(one, one.sum(1)) for one in inputs]


@pytest.mark.parametrize("evaluating", [False, True])
def test_training_equals_adam_under_one_cycle(evaluating: bool) -> None:
    model = Linear()
    expected = train_by_hand(model.weights.detach().clone(), pairs())
    progress: list[float] = []

    def loss(batch: Batch, share: float) -> Tensor:
        assert model.training != evaluating
        progress.append(share)
        return functional.mse_loss(model(batch[0]), batch[1])

    minimise(model, loss, iter(pairs()), steps=STEPS, learning_rate=PEAK, evaluating=evaluating)
    assert torch.allclose(model.weights, expected, rtol=1e-9, atol=0)
    assert torch.equal(model.frozen, torch.ones(3, dtype=torch.float64))
    assert progress == [step / STEPS for step in range(STEPS)]
    assert not model.training
    assert model.weights.grad is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["parameter", "buffer"])
def test_refuses_non_finite_weights(value: float, place: str) -> None:
    model = Linear()
    model.register_buffer("mask", torch.tensor([value if place == "buffer" else 0.0]))
    batch = pairs()[0]

    def loss(batch: Batch, _: float) -> Tensor:
        scale = value if place == "parameter" else 1.0
        return scale * functional.mse_loss(model(batch[0]), batch[1])

    if place == "buffer" and value == -math.inf:  # as masks of attention hold it
        minimise(model, loss, [batch], steps=1, learning_rate=PEAK)
        return
    with pytest.raises(TrainingDiverged, match="weights" if place == "parameter" else "mask"):
        minimise(model, loss, [batch], steps=1, learning_rate=PEAK)


@pytest.mark.parametrize("samples", [3, 7, 10, 19, 20, 29])
def test_epoch_never_repeats_a_sample(samples: int) -> None:
    recipe = Recipe(epochs=1, batch_size=10, augmentation=Augmentation())
    data = Data(torch.arange(samples).float().view(-1, 1), torch.zeros(samples).long())
    steps = recipe.steps(samples)
    batches = list(recipe.batches(data, steps, torch.Generator().manual_seed(0)))
    seen = torch.cat([inputs for inputs, _ in batches]).flatten().tolist()
    assert len(set(seen)) == len(seen) > samples - min(samples, 10)
    assert Recipe(epochs=3, batch_size=10).steps(samples) == 3 * steps


def test_only_the_generator_changes_batches() -> None:
    recipe = Recipe(augmentation=Augmentation(shift=2, flip=True))
    data = Data(torch.rand(6, 1, 8, 8), torch.arange(6))

    def draw(global_seed: int) -> list[Tensor]:
        torch.manual_seed(global_seed)
        batches = recipe.batches(data, 3, torch.Generator().manual_seed(0), size=4)
        return [inputs for inputs, _ in batches]

    with torch.random.fork_rng():
        assert all(map(torch.equal, draw(0), draw(1)))


def test_seed_does_not_touch_the_global_stream() -> None:
    with torch.random.fork_rng():
        before = torch.get_rng_state()
        with seeded(5) as generator:
            drawn = torch.rand(3), torch.rand(3, generator=generator)
        assert torch.equal(torch.get_rng_state(), before)
        with seeded(5) as generator:
            assert all(map(torch.equal, drawn, (torch.rand(3), torch.rand(3, generator=generator))))


class Widths(nn.Module):
    """Returns as many numbers as the largest input of the batch says: its own, and then zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        positions = torch.arange(int(inputs.max()))
        outputs: Tensor = self.dropout(inputs * (positions < inputs).float())
        return outputs


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_predictions_do_not_depend_on_batches(training: bool, batch_size: int) -> None:
    sizes = [2, 3, 1, 5, 4, 2, 1]
    data = Data(torch.tensor(sizes).float().view(-1, 1), torch.zeros(7).long())
    model = Widths().train(training)
    expected = [[float(size)] * size + [0.0] * (5 - size) for size in sizes]
    assert predict(model, data, batch_size).tolist() == expected
    assert model.training == training


def test_prediction_keeps_the_mode_of_every_part() -> None:
    # As an attacker has it who trains with frozen running statistics.
    norm = nn.BatchNorm1d(2)
    model = nn.Sequential(nn.Linear(1, 2), nn.Sequential(norm, nn.Dropout(0.5)))
    norm.eval()
    modes = [part.training for part in model.modules()]
    assert modes == [True, True, True, False, True]
    data = Data(torch.arange(5).float().view(-1, 1), torch.zeros(5).long())
    assert torch.equal(predict(model, data), predict(model, data))
    assert [part.training for part in model.modules()] == modes
