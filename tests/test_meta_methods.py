"""Methods that simulate an attacker: their gradients and losses against naive float64 ones."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from rootbound.data import Batch, Data
from rootbound.datasets import Dataset
from rootbound.errors import InputError
from rootbound.methods import IMMA, MLAC, SOPHON, TAR, Method, Plain, ReverseMAML
from rootbound.methods.parts.recalibration import recalibrated_loss
from rootbound.methods.parts.roll_back import RollBack, held_aside
from rootbound.methods.parts.suppression import Suppression, suppression_loss
from rootbound.methods.parts.trajectory import (
    OptimiserName,
    Step,
    trajectory_gradient,
    undone,
    with_gradient,
)
from rootbound.methods.parts.unrolled import InnerOptimiser, Unrolled
from rootbound.methods.tar import retain_loss
from rootbound.models import Classifier
from rootbound.tasks import TaskPair
from rootbound.training import Recipe

QUICK = Recipe(epochs=2, batch_size=30, learning_rate=1e-2)
SMALL: tuple[Method, ...] = (
    SOPHON(QUICK, outer_steps=4, attack_steps=3, attack_batch_size=20, check_every=2),
    TAR(QUICK, outer_steps=4, attack_steps=4, judged_every=2),
    MLAC(QUICK, outer_steps=4, attack_steps=3),
    MLAC(QUICK, outer_steps=4, attack_steps=2, attack_optimiser="sgd", head="learned"),
    IMMA(QUICK, outer_steps=4, inner_steps=2, fresh_head=True),
    ReverseMAML(QUICK, inner_steps=2),
)


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def small_network(seed: int = 0) -> Classifier:
    """Smooth, in float64, with BatchNorm in training mode."""
    torch.manual_seed(seed)
    backbone = nn.Sequential(
        nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh()), nn.Linear(6, 5)
    )
    return Classifier(backbone, nn.Linear(5, 3)).double().train()


def small_batches(count: int, size: int = 8, seed: int = 1) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(size, 4, generator=generator, dtype=torch.float64),
            torch.arange(size) % 3,
        )
        for _ in range(count)
    ]


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def cross_entropy(network: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(network(batch[0]), batch[1])


def entropy_of(network: nn.Module, batch: Batch) -> Tensor:
    return suppression_loss("entropy", network(batch[0]), batch[1])


def played(network: nn.Module, batches: list[Batch], every: int = 1) -> Iterator[Step]:
    for step, batch in enumerate(batches, start=1):
        judged = partial(entropy_of, network, batches[-step]) if step % every == 0 else None
        yield partial(cross_entropy, network, batch), judged


def zeros(weights: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(value) for name, value in weights.items()}


def kept_graphs(
    network: Classifier, batches: list[Batch], optimiser: OptimiserName, rate: float, every: int
) -> list[Tensor]:
    """Keep the whole way: weights are the start's plus constants, one backward at the end."""
    start = dict(network.named_parameters())
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    run = lambda weights, inputs: functional_call(network, (weights, buffers), (inputs,))  # noqa: E731
    now: dict[str, Tensor] = {**start}
    first, second, total = zeros(start), zeros(start), torch.zeros(())
    for step, (inputs, labels) in enumerate(batches, start=1):
        loss = functional.cross_entropy(run(now, inputs), labels)
        found = torch.autograd.grad(loss, list(now.values()), retain_graph=True)
        then = {}
        for (name, value), gradient in zip(now.items(), found, strict=True):
            if optimiser == "adam":
                first[name] = 0.9 * first[name] + 0.1 * gradient
                second[name] = 0.999 * second[name] + 0.001 * gradient**2
                size = (second[name] / (1 - 0.999**step)) ** 0.5 + 1e-8
                change = first[name] / (1 - 0.9**step) / size
            else:
                first[name] = (0.9 if optimiser == "momentum" else 0.0) * first[name] + gradient
                change = first[name]
            then[name] = value - rate * change
        now = then
        if step % every == 0:
            probabilities = run(now, batches[-step][0]).softmax(1)
            total = total + (probabilities * probabilities.log()).sum(1).mean()
    return list(torch.autograd.grad(total, list(network.backbone.parameters())))


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.3), ("momentum", 0.1), ("adam", 0.01)])
def test_accumulated_gradient_equals_that_of_kept_graphs(
    optimiser: OptimiserName, rate: float, every: int
) -> None:
    network, batches = small_network(), small_batches(12)
    shared = list(network.backbone.parameters())
    expected = kept_graphs(copy.deepcopy(network), batches, optimiser, rate, every)
    before = state(network)
    found = trajectory_gradient(network, shared, played(network, batches, every), optimiser, rate)
    assert same(before, state(network)), "weights or statistics were not put back"
    assert all(parameter.grad is None for parameter in network.parameters())
    # BatchNorm leaves the bias before it a gradient of 0, hence the absolute part.
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


def test_what_went_wrong_on_the_way_is_undone_too() -> None:
    network = small_network()
    before = state(network)
    with pytest.raises(ZeroDivisionError), undone(network):
        network(small_batches(1)[0][0])
        with torch.no_grad():
            network.head.weight.zero_()
        raise ZeroDivisionError
    assert same(before, state(network))


def test_frozen_parameters_stay_out_of_it() -> None:
    network, batches = small_network(), small_batches(3)
    network.blocks[0].requires_grad_(False)
    shared = list(network.blocks[1].parameters())
    found = trajectory_gradient(network, shared, played(network, batches), "adam", 0.01)
    assert len(found) == 2 and all(bool(one.abs().sum() > 0) for one in found)


def test_a_found_gradient_as_a_term_of_a_loss() -> None:
    parameters = [nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.randn(4))]
    wanted = [torch.randn(2, 3), torch.randn(4)]
    got = torch.autograd.grad(with_gradient(parameters, wanted), parameters)
    assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True))


class Kept:
    """A tensor that autograd keeps for a backward pass; how many there are is counted."""

    alive = most = 0

    def __init__(self, value: Tensor) -> None:
        self.value = value
        Kept.alive += 1
        Kept.most = max(Kept.most, Kept.alive)

    def __del__(self) -> None:
        Kept.alive -= 1


def most_kept(run: Callable[[], object]) -> int:
    Kept.alive = Kept.most = 0
    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.value):
        run()
    return Kept.most


def test_memory_does_not_grow_with_the_steps() -> None:
    network = small_network()
    shared = list(network.backbone.parameters())

    def ours(steps: int) -> object:
        batches = small_batches(steps)
        return trajectory_gradient(network, shared, played(network, batches), "sgd", 0.1)

    def naive(steps: int) -> object:
        return kept_graphs(network, small_batches(steps), "sgd", 0.1, 1)

    assert most_kept(lambda: ours(40)) == most_kept(lambda: ours(4)) > 0
    assert most_kept(lambda: naive(40)) > 8 * most_kept(lambda: naive(4))


def adapted_loss(network: Classifier, optimiser: InnerOptimiser, rate: Tensor) -> Tensor:
    (inputs, labels), *batches = small_batches(5)
    learner = Unrolled(network)
    *_, (weights, _) = learner.descend(batches, rate, optimiser)
    return functional.cross_entropy(learner(weights, inputs), labels)


@pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.3), ("adam", 0.01)])
def test_second_order_gradient_equals_finite_differences(
    optimiser: InnerOptimiser, rate: float
) -> None:
    network = small_network(3)
    learned = nn.Parameter(torch.tensor(rate, dtype=torch.float64))
    before = state(network)
    parameters = [*network.parameters(), learned]
    found = torch.autograd.grad(adapted_loss(network, optimiser, learned), parameters)
    assert same(before, state(network)), "the network was changed"
    largest = max(float(one.abs().max()) for one in found)
    for parameter, gradient in zip(parameters, found, strict=True):
        flat, slopes = parameter.data.view(-1), gradient.view(-1)
        for position in range(0, len(flat), 5):
            kept, values = float(flat[position]), []
            for shift in (1e-6, -1e-6):
                flat[position] = kept + shift
                values.append(float(adapted_loss(network, optimiser, learned).detach()))
            flat[position] = kept
            slope = (values[0] - values[1]) / 2e-6
            assert slope == pytest.approx(float(slopes[position]), rel=1e-4, abs=1e-6 * largest)


@pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.3), ("adam", 0.01)])
def test_unrolled_steps_are_the_optimisers(optimiser: InnerOptimiser, rate: float) -> None:
    network, batches = small_network(), small_batches(6)
    *_, (weights, _) = Unrolled(network).descend(batches, rate, optimiser)
    plain = copy.deepcopy(network)
    builders = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    descent = builders[optimiser](plain.parameters(), lr=rate)
    for batch in batches:
        descent.zero_grad()
        cross_entropy(plain, batch).backward()
        descent.step()
    for name, value in plain.named_parameters():
        # The bias before BatchNorm has no gradient but rounding errors, which Adam magnifies.
        if name != "backbone.0.0.bias":
            torch.testing.assert_close(weights[name].detach(), value.detach(), rtol=0, atol=1e-5)


def naive_suppression(name: Suppression, logits: Tensor, labels: Tensor) -> float:
    values = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        powers = [math.exp(one) for one in row]
        chances = [one / sum(powers) for one in powers]
        if name == "inverse":
            values.append(-math.log(1 - chances[label]))
        elif name == "negated":
            # The released code's form: a shift of all logits changes nothing.
            shifted = [math.exp(1 - one) for one in row]
            values.append(-math.log(shifted[label] / sum(shifted)))
        elif name == "uniform":
            values.append(sum(math.log(1 / len(row) / one) / len(row) for one in chances))
        else:
            values.append(sum(one * math.log(one) for one in chances))
    return sum(values) / len(values)


@pytest.mark.parametrize("name", ["inverse", "negated", "uniform", "entropy"])
def test_suppression_losses_equal_naive_ones(name: Suppression) -> None:
    generator = torch.Generator().manual_seed(2)
    logits = 3 * torch.randn(20, 4, generator=generator, dtype=torch.float64)
    labels = torch.arange(20) % 4
    found = float(suppression_loss(name, logits, labels))
    assert found == pytest.approx(naive_suppression(name, logits, labels), rel=1e-12)
    assert torch.autograd.gradcheck(
        lambda one: suppression_loss(name, one, labels), logits.requires_grad_(True)
    )


def test_inverse_cross_entropy_where_probabilities_round_to_one() -> None:
    logits = torch.tensor([[100.0, 0.0, 0.0]], requires_grad=True)
    loss = suppression_loss("inverse", logits, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert float(loss.detach()) == pytest.approx(100 - math.log(2), rel=1e-5)
    assert float(gradient[0, 0]) == pytest.approx(1.0, rel=1e-5)


def best_mixing(logits: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """Solve for W with a general solver for box constraints."""
    z, y = logits.numpy(), labels.numpy()
    classes = z.shape[1]

    def objective(flat: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        mixed = z @ flat.reshape(classes, classes)
        return float(np.mean(np.log(np.exp(mixed).sum(1)) - mixed[np.arange(len(y)), y]))

    options = {"maxiter": 5000, "maxfun": 10**6, "ftol": 1e-15, "gtol": 1e-10}
    bounds = [(-1, 1)] * classes**2
    solved = minimize(objective, np.zeros(classes**2), bounds=bounds, options=options)
    return float(solved.fun), torch.from_numpy(solved.x).view(classes, classes)


@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_recalibration_equals_a_general_solver(scale: float) -> None:
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(30) % 3
    # The second set would look hopeless without recalibration: its classes are permuted.
    seen = functional.one_hot((labels + 1) % 3).double()
    noise = torch.randn(2, 30, 3, generator=generator, dtype=torch.float64)
    logits = scale * (noise + torch.stack([torch.zeros_like(seen), 3 * seen]))
    expected = sum(best_mixing(one, labels)[0] for one in logits) / 2
    found = recalibrated_loss(logits.requires_grad_(True), labels, iterations=2000)
    assert float(found.detach()) == pytest.approx(expected, abs=1e-7)
    assert float(found.detach()) < math.log(3)
    (slope,) = torch.autograd.grad(found, logits)
    shift = torch.randn(logits.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        ends = [
            sum(best_mixing(one, labels)[0] for one in logits + sign * 1e-4 * shift) / 2
            for sign in (1, -1)
        ]
    assert (ends[0] - ends[1]) / 2e-4 == pytest.approx(float((slope * shift).sum()), abs=1e-4)


def test_recalibration_is_near_its_optimum_after_its_usual_iterations() -> None:
    generator = torch.Generator().manual_seed(5)
    logits = 10 * torch.randn(16, 32, 5, generator=generator)
    labels = torch.arange(32) % 5
    usual = float(recalibrated_loss(logits, labels))
    assert usual == pytest.approx(float(recalibrated_loss(logits, labels, 5000)), abs=5e-3)


def test_retain_loss_equals_a_naive_one(float64: None) -> None:
    model, start = small_network(1), small_network(2)
    ((inputs, labels),) = small_batches(1)
    distances, one, other = [], inputs, inputs
    for block, before in zip(model.blocks, start.blocks, strict=True):
        one, other = block(one), before(other)
        rows = zip(one.tolist(), other.tolist(), strict=True)
        norms = [math.dist(first, second) for first, second in rows]
        distances.append(sum(norms) / len(norms))
    chances = model(inputs).softmax(1).detach()
    task = -sum(math.log(float(chances[i, label])) for i, label in enumerate(labels.tolist())) / 8
    found = float(retain_loss(model, start, (inputs, labels)).detach())
    assert found == pytest.approx(task + sum(distances) / 2, rel=1e-12)


def test_mlac_equals_a_naive_computation() -> None:
    network, batches = small_network(), small_batches(4)
    method = MLAC(
        attack_optimiser="sgd",
        adapted_weight=0.7,
        recalibrated_weight=0.5,
        gradient_weight=0.2,
    )
    found = method.adversarial(network, torch.tensor(0.3, dtype=torch.float64), batches)
    plain, losses, mixed, norms = copy.deepcopy(network), [], [], []
    for batch in batches[1:]:
        gradients = torch.autograd.grad(cross_entropy(plain, batch), list(plain.parameters()))
        norms.append(math.sqrt(sum(float((one**2).sum()) for one in gradients)))
        with torch.no_grad():
            for parameter, gradient in zip(plain.parameters(), gradients, strict=True):
                parameter.sub_(gradient, alpha=0.3)
            logits = plain(batches[0][0])
        losses.append(float(functional.cross_entropy(logits, batches[0][1])))
        mixed.append(best_mixing(logits, batches[0][1])[0])
    mean = np.mean
    assert float(found[0].detach()) == pytest.approx(float(mean(losses)), rel=1e-9)
    expected = 0.2 * mean(norms) - 0.7 * mean(losses) - 0.5 * mean(mixed)
    assert float(found[1].detach()) == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("capped", [True, False])
def test_reverse_maml_equals_a_naive_computation(float64: None, capped: bool) -> None:
    model = small_network()
    desirable, undesirable = small_batches(2)
    method = ReverseMAML(inner_steps=3, inner_rate=20.0, weight=0.3, capped=capped)
    torch.manual_seed(8)
    found = float(method.loss(model, desirable, undesirable, 0.0).detach())
    torch.manual_seed(8)
    head = nn.Linear(5, 3)

    def learned(network: Classifier, batch: Batch) -> float:
        network = copy.deepcopy(network)
        descent = torch.optim.SGD(network.parameters(), lr=20.0)
        for _ in range(3):
            descent.zero_grad()
            cross_entropy(network, (batch[0][0::2], batch[1][0::2])).backward()
            descent.step()
        return float(cross_entropy(network, (batch[0][1::2], batch[1][1::2])).detach())

    lost = learned(Classifier(model.backbone, head), undesirable)
    assert lost > math.log(3), "the case shall tell the two apart"
    gained = min(lost, math.log(3)) if capped else lost
    task = float(cross_entropy(copy.deepcopy(model), desirable).detach())
    expected = task + learned(model, desirable) - 0.3 * gained
    assert found == pytest.approx(expected, rel=1e-10)


def test_sophon_descends_the_clipped_gradient_of_kept_graphs(
    float64: None, toy: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(256, 6), nn.Tanh())
    model = Classifier(backbone, nn.Linear(6, 3)).train()
    tasks = toy.split([0, 1, 2], [3, 4])
    monkeypatch.setattr(Data, "batch", as_float64(Data.batch))
    method = SOPHON(attack_steps=5, attack_rate=0.2, attack_batch_size=20, clip=1e-2)
    torch.manual_seed(5)
    attacked = Classifier(copy.deepcopy(backbone), nn.Linear(6, 2))
    batches = method.recipe.batches(
        tasks.known_undesirable, 5, torch.Generator().manual_seed(6), 20
    )
    total = [torch.zeros_like(one) for one in attacked.backbone.parameters()]
    for inputs, labels in batches:
        descent = torch.optim.SGD(attacked.parameters(), lr=0.2)
        cross_entropy(attacked, (inputs[2:], labels[2:])).backward()
        descent.step()
        chances = attacked(inputs[:2]).softmax(1)[torch.arange(2), labels[:2]]
        judged = -(1 - chances).log().mean() / 5
        found = torch.autograd.grad(judged, list(attacked.backbone.parameters()))
        total = [one + other for one, other in zip(total, found, strict=True)]
        descent.zero_grad()
    norm = math.sqrt(sum(float((one**2).sum()) for one in total))
    assert norm > 1e-2
    before = [one.detach().clone() for one in backbone.parameters()]
    torch.manual_seed(5)
    descent = torch.optim.SGD(backbone.parameters(), lr=1.0)
    method.suppress(model, tasks, descent, torch.Generator().manual_seed(6))
    for old, new, gradient in zip(before, backbone.parameters(), total, strict=True):
        torch.testing.assert_close(old - new.detach(), gradient * 1e-2 / norm, rtol=1e-4, atol=0)


def as_float64(batch: Callable[..., Batch]) -> Callable[..., Batch]:
    def converted(data: Data, index: Tensor | slice) -> Batch:
        inputs, labels = batch(data, index)
        return inputs.double(), labels

    return converted


@pytest.mark.parametrize("broken", [0.0, math.nan])
def test_roll_back_takes_the_last_good_weights_back(
    broken: float, toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn, others = held_aside(toy_tasks.desirable.train, 1000, generator)
    assert len(drawn) == len(others) == len(toy_tasks.desirable.train) // 2
    model = Plain(Recipe(epochs=6, batch_size=30, learning_rate=1e-2)).fit(toy_model, toy_tasks)
    roll_back = RollBack(model, drawn, allowed_drop=0.05)
    with torch.no_grad():
        model.head.weight.mul_(2)
        model.head.bias.mul_(2)
    good = state(model)
    assert roll_back.check() and same(state(model), good)
    with torch.no_grad():
        model.head.weight.fill_(broken)
    assert not roll_back.check() and same(state(model), good)


@pytest.mark.parametrize("method", SMALL, ids=repr)
def test_other_numbers_of_classes_and_batch_norm(method: Method, toy: Dataset) -> None:
    torch.manual_seed(0)
    convolution = nn.Sequential(nn.Conv2d(1, 4, 5, 4), nn.BatchNorm2d(4), nn.ReLU())
    hidden = nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.BatchNorm1d(12), nn.ReLU())
    model = Classifier(nn.Sequential(convolution, hidden), nn.Linear(12, 4))
    tasks = toy.split([0, 1, 2, 3], [4, 5])
    few = tasks.known_undesirable.select(torch.tensor([0, 1, 2, 3, 59, 58]))
    assert set(few.labels.tolist()) == {0, 1}
    fitted = method.fit(model, replace(tasks, known_undesirable=few), seed=1)
    assert all(bool(torch.isfinite(value).all()) for value in fitted.state_dict().values())
    assert fitted.classes == 4


@pytest.mark.parametrize(
    "build",
    [
        lambda: SOPHON(attack_batch_size=1),
        lambda: SOPHON(clip=0.0),
        lambda: SOPHON(allowed_drop=1.5),
        lambda: TAR(attack_rates=()),
        lambda: TAR(attack_rates=(1e-3, -1.0)),
        lambda: TAR(judged_every=65),
        lambda: MLAC(attack_rate=0.0),
        lambda: MLAC(adapted_weight=-1.0),
        lambda: IMMA(weight=math.inf),
        lambda: ReverseMAML(inner_steps=0),
        lambda: ReverseMAML(weight=-0.1),
        lambda: ReverseMAML(undesirable_batch_size=0),
    ],
)
def test_settings_out_of_range(build: Callable[[], Method]) -> None:
    with pytest.raises(InputError, match="expected"):
        build()
