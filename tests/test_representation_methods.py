"""Methods that change what features show: their losses against naive float64 ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from rootbound.core.errors import InputError
from rootbound.data import Batch, Data, Task, TaskPair
from rootbound.methods import CUTI, HNTL, NTL, AdversarialHead, GradientAscent, Method, RepNoise
from rootbound.methods.cuti import make_restylings
from rootbound.methods.hntl import Disentanglement, distillation_loss, join_pair
from rootbound.methods.shared.maximum_mean_discrepancy import maximum_mean_discrepancy
from rootbound.methods.shared.trained_heads import TrainedHeads
from rootbound.networks import Classifier
from rootbound.training import Recipe

Array = NDArray[np.float64]
ONCE = Recipe(epochs=1, batch_size=6)


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def network() -> Classifier:
    """A convolution with places, then features; no BatchNorm, so that parts can be followed."""
    first = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    last = nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.ReLU())
    return Classifier(nn.Sequential(first, last), nn.Linear(6, 3))


def batch(count: int, classes: int) -> Batch:
    return torch.randn(count, 1, 6, 6), torch.arange(count) % classes


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Of each sample, by the definition."""
    return np.array(
        [
            math.log(sum(math.exp(value) for value in row)) - row[int(label)]
            for row, label in zip(logits, labels, strict=True)
        ]
    )


def linear(layer: nn.Module, values: Array) -> Array:
    assert isinstance(layer, nn.Linear)
    found: Array = values @ layer.weight.detach().numpy().T
    if layer.bias is not None:
        found += layer.bias.detach().numpy()
    return found


def convolved(layer: nn.Conv2d, images: Array) -> Array:
    """A 3x3 convolution and a ReLU, place by place."""
    weight, bias = layer.weight.detach().numpy(), layer.bias
    assert bias is not None
    found = np.zeros((len(images), 3, 4, 4))
    for n, channel, row, column in np.ndindex(found.shape):
        window = images[n, :, row : row + 3, column : column + 3]
        found[n, channel, row, column] = (window * weight[channel]).sum() + float(
            bias.detach()[channel]
        )
    clipped: Array = found.clip(min=0)
    return clipped


def forward(model: Classifier, inputs: Tensor) -> tuple[Array, Array]:
    """Return what the two blocks give."""
    maps = convolved(model.blocks[0][0], inputs.numpy())  # type: ignore[index]
    return maps, behind(model, maps)


def behind(model: Classifier, maps: Array) -> Array:
    last: Any = model.blocks[1]
    return linear(last[1], maps.reshape(len(maps), -1)).clip(min=0)


def naive_mmd(first: Array, second: Array) -> float:
    first, second = first.reshape(len(first), -1), second.reshape(len(second), -1)
    both = np.concatenate([first, second])
    between = [float(((a - b) ** 2).sum()) for a in both for b in both]
    bandwidth = sum(between) / (len(both) * (len(both) - 1))

    def kernel(a: Array, b: Array) -> float:
        distance = float(((a - b) ** 2).sum())
        return sum(math.exp(-distance / (scale * bandwidth)) for scale in (0.25, 0.5, 1, 2, 4))

    def mean(left: Array, right: Array) -> float:
        return float(np.mean([kernel(a, b) for a in left for b in right]))

    return mean(first, first) + mean(second, second) - 2 * mean(first, second)


@pytest.mark.parametrize(("first", "second", "width"), [(5, 5, 3), (4, 7, 11), (2, 3, 1)])
def test_mmd_equals_the_sum_over_pairs(first: int, second: int, width: int) -> None:
    left, right = torch.randn(first, width), 2 * torch.randn(second, width) + 1
    found = float(maximum_mean_discrepancy(left, right))
    assert found == pytest.approx(naive_mmd(left.numpy(), right.numpy()), abs=1e-12)


def test_gradient_of_mmd_equals_finite_differences() -> None:
    right = torch.randn(4, 5)
    bandwidth_is_held = torch.randn(3, 5, requires_grad=True)
    found = maximum_mean_discrepancy(bandwidth_is_held, right)
    (gradient,) = torch.autograd.grad(found, bandwidth_is_held)
    both = torch.cat([bandwidth_is_held, right])
    distances = (both[None] - both[:, None]).square().sum(2)
    bandwidth = distances.detach().sum() / 42
    kernels = torch.stack([(-distances / (s * bandwidth)).exp() for s in (0.25, 0.5, 1, 2, 4)])
    kernel = kernels.sum(0)
    naive = kernel[:3, :3].mean() + kernel[3:, 3:].mean() - 2 * kernel[:3, 3:].mean()
    assert torch.allclose(gradient, torch.autograd.grad(naive, bandwidth_is_held)[0], atol=1e-12)


def test_mmd_ignores_origin_and_axes() -> None:
    left, right = torch.randn(6, 4), torch.randn(5, 4) + 0.5
    rotation = torch.linalg.qr(torch.randn(4, 4)).Q
    plain = maximum_mean_discrepancy(left, right)
    moved = maximum_mean_discrepancy(3 * left @ rotation + 7, 3 * right @ rotation + 7)
    assert float(plain) == pytest.approx(float(moved), abs=1e-10)
    assert float(maximum_mean_discrepancy(left, left)) == pytest.approx(0, abs=1e-12)


def test_mmd_survives_identical_samples() -> None:
    left = torch.ones(3, 2, requires_grad=True)
    found = maximum_mean_discrepancy(left, torch.ones(4, 2))
    (gradient,) = torch.autograd.grad(found, left)
    assert float(found.detach()) == pytest.approx(0, abs=1e-12)
    assert bool(torch.isfinite(gradient).all())


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that was made."""

    numbers = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        found = function(*arguments, **(options or {}))
        for one in found if isinstance(found, tuple | list) else (found,):
            if isinstance(one, Tensor):
                self.numbers = max(self.numbers, one.numel())
        return found


def test_mmd_needs_no_pairwise_difference_tensor() -> None:
    left, right = torch.randn(16, 500, requires_grad=True), torch.randn(16, 500)
    with Largest() as largest:
        maximum_mean_discrepancy(left, right).backward()
    assert largest.numbers == 32 * 500
    with largest:
        (left[None] - right[:, None]).square().sum(2)
    assert largest.numbers == 16 * 16 * 500, "the cube would have been seen"


def test_heads_learn_without_changing_the_features() -> None:
    heads = TrainedHeads([6, 6], 4, rate=1e-2)
    model, (inputs, labels) = network(), batch(40, 4)
    features = model.features(inputs)
    before = heads.losses([features, features], labels).detach()
    heads.learn([features, features], labels, 50)
    assert bool((heads.losses([features, features], labels) < before).all())
    assert all(value.grad is None for value in model.parameters())


def test_heads_clear_earlier_gradients() -> None:
    features, labels = torch.randn(12, 6, requires_grad=True), torch.arange(12) % 4
    heads, untouched = TrainedHeads([6], 4, 1e-2), TrainedHeads([6], 4, 1e-2)
    untouched.heads.load_state_dict(heads.heads.state_dict())
    (-7 * heads.losses([features], labels).sum()).backward()
    for one in (heads, untouched):
        one.learn([features], labels, 3)
    learned, alone = (list(one.heads.parameters()) for one in (heads, untouched))
    assert all(torch.equal(a, b) for a, b in zip(learned, alone, strict=True))


def test_gradient_ascent_equals_a_naive_computation() -> None:
    model, heads = network(), TrainedHeads([6], 4, 1e-2)
    desirable, undesirable = batch(9, 3), batch(8, 4)
    method = GradientAscent(weight=0.3, limit=1.4, along=2)
    found = float(method.loss(model, heads, desirable, undesirable).detach())
    own, unwanted = forward(model, desirable[0])[1], forward(model, undesirable[0])[1]
    climbed = cross_entropy(linear(heads.heads[0], unwanted), undesirable[1].numpy())
    task = cross_entropy(linear(model.head, own), desirable[1].numpy()).mean()
    assert (climbed > 1.4).any() and (climbed < 1.4).any(), "the limit is not looked at"
    assert found == pytest.approx(task - 0.3 * climbed.clip(max=1.4).mean(), abs=1e-12)


@pytest.mark.parametrize("capped", [True, False])
def test_adversarial_head_equals_a_naive_computation(capped: bool) -> None:
    model = network()
    desirable, undesirable = batch(9, 3), batch(8, 4)
    method = AdversarialHead(heads=3, hidden=5, head_steps=1, weight=0.7, capped=capped)
    heads = TrainedHeads([6] * 3, 4, 1e-2, hidden=5)
    found = float(method.loss(model, heads, desirable, undesirable, 0.4).detach())
    own, unwanted = forward(model, desirable[0])[1], forward(model, undesirable[0])[1]
    losses = []
    for head in heads.heads:
        assert isinstance(head, nn.Sequential)
        hidden = linear(head[0], unwanted).clip(min=0)
        losses.append(cross_entropy(linear(head[2], hidden), undesirable[1].numpy()).mean())
    best = min(*losses, math.log(4)) if capped else min(losses)
    reversal = 0.7 * (2 / (1 + math.exp(-4.0)) - 1)
    task = cross_entropy(linear(model.head, own), desirable[1].numpy()).mean()
    assert found == pytest.approx(task - reversal * best, abs=1e-12)


@pytest.mark.parametrize(("alpha", "distance_alpha"), [(0.5, 0.3), (50.0, 0.3), (0.5, 50.0)])
@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("depth", [0, 1])
def test_ntl_equals_a_naive_computation(
    form: Any, depth: int, alpha: float, distance_alpha: float
) -> None:
    model, heads = network(), TrainedHeads([6], 4, 1e-2)
    desirable, undesirable = batch(9, 3), batch(8, 4)
    method = NTL(form=form, alpha=alpha, beta=0.9, distance_alpha=distance_alpha, depth=depth)
    found = float(method.loss(model, heads, desirable, undesirable).detach())
    own, unwanted = forward(model, desirable[0]), forward(model, undesirable[0])
    distance = naive_mmd(own[1 - depth], unwanted[1 - depth])
    distance = min(1.0, distance_alpha * distance)
    erring = cross_entropy(linear(heads.heads[0], unwanted[1]), undesirable[1].numpy()).mean()
    task = cross_entropy(linear(model.head, own[1]), desirable[1].numpy()).mean()
    if form == "paper":
        wanted = task - min(0.9, alpha * erring * distance)
    else:
        wanted = task / 3 - min(0.9, alpha * erring / 4) * distance
    assert found == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("beta", [5.0, 0.5])
@pytest.mark.parametrize("restyled", [True, False])
def test_cuti_equals_a_naive_computation(restyled: bool, beta: float) -> None:
    model, heads = network(), TrainedHeads([6], 4, 1e-2)
    desirable, undesirable = batch(9, 3), batch(12, 4)
    styles = make_restylings(model, (1, 6, 6))
    assert list(styles) == [0], "the first block alone has places"
    used = styles if restyled else {}
    method = CUTI(alpha=0.4, beta=beta)
    found = float(method.loss(model, heads, used, desirable, undesirable).detach())
    own, features = forward(model, desirable[0])
    maps, unwanted = forward(model, undesirable[0])
    if restyled:
        deviation = linear(styles[0].deviation, np.sqrt(own.var(axis=(2, 3)) + 1e-5))
        mean = linear(styles[0].mean, own.mean(axis=(2, 3)))
        for sample in range(len(maps)):
            taken = sample % len(own)
            factor, shift = (1 / (1 + np.exp(-one[taken])) for one in (deviation, mean))
            maps[sample] = maps[sample] * factor[:, None, None] + shift[:, None, None]
        unwanted = behind(model, maps)
    erring = cross_entropy(linear(heads.heads[0], unwanted), undesirable[1].numpy()).mean()
    task = cross_entropy(linear(model.head, features), desirable[1].numpy()).mean()
    assert found == pytest.approx(task - min(beta, 0.4 * erring), abs=1e-12)


@pytest.mark.parametrize("noise", ["normal", "rectified"])
def test_rep_noise_equals_a_naive_computation(noise: Any) -> None:
    model, heads = network(), TrainedHeads([48, 6], 4, 1e-2)
    desirable, undesirable = batch(9, 3), batch(8, 4)
    method = RepNoise(alpha=0.6, beta=0.8, noise=noise, along=0)
    torch.manual_seed(5)
    found = float(method.loss(model, heads, desirable, undesirable).detach())
    torch.manual_seed(5)
    own, unwanted = forward(model, desirable[0])[1], forward(model, undesirable[0])
    distances, losses = [], []
    for outputs, head in zip(unwanted, heads.heads, strict=True):
        drawn = torch.randn(outputs.shape).numpy()
        distances.append(naive_mmd(outputs, drawn.clip(min=0) if noise == "rectified" else drawn))
        logits = linear(head, outputs.reshape(len(outputs), -1))
        losses.append(cross_entropy(logits, undesirable[1].numpy()).mean())
    task = cross_entropy(linear(model.head, own), desirable[1].numpy()).mean()
    wanted = task + 0.8 * np.mean(distances) - 0.6 * math.log(1 + np.mean(losses))
    assert found == pytest.approx(wanted, abs=1e-12)


def test_hntl_disentanglement_equals_a_naive_computation() -> None:
    parts = Disentanglement(network(), 7, (1, 6, 6), latent=2, hidden=5)
    pair = batch(9, 3), batch(8, 4)
    inputs, labels, domains = join_pair(pair, 3)
    assert domains.tolist() == [0] * 9 + [1] * 8 and int(labels[9:].min()) == 3
    torch.manual_seed(5)
    found = float(parts.loss(inputs, labels, domains, 0.2, 0.3).detach())
    torch.manual_seed(5)
    wanted, latents = 0.0, []
    for encoder, targets in ((parts.content, labels), (parts.style, domains)):
        features = forward(Classifier(encoder.backbone, encoder.mean), inputs)[1]
        mean, logarithm = linear(encoder.mean, features), linear(encoder.log_variance, features)
        latent = mean + torch.randn(17, 2).numpy() * np.exp(logarithm / 2)
        latents.append(latent)
        wanted += cross_entropy(linear(encoder.classifier, latent), targets.numpy()).mean()
        wanted += 0.2 * 0.5 * (mean**2 + np.exp(logarithm) - 1 - logarithm).sum(axis=1).mean()
    hidden = linear(parts.decoder[0], np.concatenate(latents, axis=1)).clip(min=0)
    decoded = linear(parts.decoder[2], hidden)
    wanted += 0.3 * ((decoded - inputs.numpy().reshape(17, -1)) ** 2).mean()
    assert found == pytest.approx(wanted, abs=1e-12)


def test_hntl_distillation_equals_a_naive_computation() -> None:
    parts = Disentanglement(network(), 7, (1, 6, 6), latent=2, hidden=5)
    student = Classifier(network().backbone, nn.Linear(6, 7))
    pair = batch(9, 3), batch(8, 4)
    found = float(distillation_loss(student, parts, pair, 3).detach())
    wanted = 0.0
    for encoder, (inputs, _) in ((parts.content, pair[0]), (parts.style, pair[1])):
        latent = linear(
            encoder.mean, forward(Classifier(encoder.backbone, encoder.mean), inputs)[1]
        )
        taught = linear(parts.content.classifier, latent)
        given = linear(student.head, forward(student, inputs)[1])
        wanted += ((given - taught) ** 2).mean()
    assert found == pytest.approx(wanted, abs=1e-12)


def make_losses(rate: float) -> dict[str, tuple[nn.Module, Callable[[], Tensor]]]:
    """Return losses of methods, with heads that learn at a rate, and all that descends each."""
    model, pair = network(), (batch(9, 3), batch(12, 4))
    heads, of_blocks = TrainedHeads([6], 4, rate), TrainedHeads([48, 6], 4, rate)
    several, styles = TrainedHeads([6] * 3, 4, rate), make_restylings(model, (1, 6, 6))
    parts, given = (Disentanglement(network(), 7, (1, 6, 6), 2, 5) for _ in range(2))
    given.requires_grad_(False)
    student = Classifier(network().backbone, nn.Linear(6, 7))
    ascent = GradientAscent(limit=9.0, along=1)
    adversarial = AdversarialHead(heads=3, capped=False)
    ntl, cuti = NTL(alpha=0.4, beta=9.0, distance_beta=9.0), CUTI(beta=9.0)
    noise = RepNoise(alpha=0.6, beta=0.8)
    return {
        "GradientAscent": (model, lambda: ascent.loss(model, heads, *pair)),
        "AdversarialHead": (model, lambda: adversarial.loss(model, several, *pair, 0.4)),
        "NTL": (model, lambda: ntl.loss(model, heads, *pair)),
        "RepNoise": (model, lambda: noise.loss(model, of_blocks, *pair)),
        "CUTI": (
            nn.ModuleList([model, *styles.values()]),
            lambda: cuti.loss(model, heads, styles, *pair),
        ),
        "HNTL, first": (parts, lambda: parts.loss(*join_pair(pair, 3), 0.2, 0.3)),
        "HNTL, then": (student, lambda: distillation_loss(student, given, pair, 3)),
    }


@pytest.mark.parametrize(
    "name",
    ["GradientAscent", "AdversarialHead", "NTL", "RepNoise", "CUTI", "HNTL, first", "HNTL, then"],
)
def test_methods_descend_the_whole_gradient_of_the_loss(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No term's gradient is cut off; that of the MMD, whose width has none, is tested above."""

    def compare_means(first: Tensor, second: Tensor) -> Tensor:
        return (first.flatten(1).mean(0) - second.flatten(1).mean(0)).square().sum()

    for module in ("ntl", "rep_noise"):
        path = f"rootbound.methods.{module}.maximum_mean_discrepancy"
        monkeypatch.setattr(path, compare_means)
    descending, loss = make_losses(rate=0.0)[name]
    weights = list(descending.parameters())
    directions = [torch.randn_like(weight) for weight in weights]

    def measure(step: float) -> Tensor:
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight.add_(direction, alpha=step)
        torch.manual_seed(5)
        return loss()

    gradients = torch.autograd.grad(measure(0.0), weights)
    slope = sum(float((one * way).sum()) for one, way in zip(gradients, directions, strict=True))
    above, below = (float(measure(step).detach()) for step in (1e-6, -2e-6))
    assert slope == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", ["GradientAscent", "AdversarialHead", "NTL", "RepNoise", "CUTI"])
def test_heads_learn_within_the_loss(name: str) -> None:
    """Each time the loss is taken, they read more, so that there is less to gain from erring."""
    _, loss = make_losses(rate=1e-2)[name]
    values = []
    for _ in range(3):
        torch.manual_seed(5)
        values.append(float(loss().detach()))
    assert values[0] < values[1] < values[2]


def make_tasks() -> TaskPair:
    desirable = Task("wanted", tuple("abc"), Data(*batch(18, 3)), Data(*batch(18, 3)))
    undesirable = Task("not", tuple("vwxy"), Data(*batch(12, 4)), Data(*batch(12, 4)))
    return TaskPair(desirable, undesirable, Data(*batch(12, 4)))


@pytest.mark.parametrize("kind", [GradientAscent, RepNoise])
def test_heads_are_fitted_before_the_defence(
    kind: type[GradientAscent | RepNoise], monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_all, seen = TrainedHeads.learn_all, []

    def count(heads: TrainedHeads, read: Any, batches: Any) -> None:
        given = list(batches)
        seen.append(len(given))
        learn_all(heads, read, given)

    torch.set_default_dtype(torch.float32)
    monkeypatch.setattr(TrainedHeads, "learn_all", count)
    kind(ONCE, steps=1, head_steps=7).fit(network(), make_tasks())
    assert seen == [7]


@pytest.mark.parametrize("style", ["learned", "random"])
def test_every_second_step_of_cuti_is_restyled(style: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Tensor]] = []

    def remember(_: CUTI, model: Classifier, __: Any, styles: Any, *___: Any) -> Tensor:
        seen.append([one.mean.weight.detach().clone() for one in styles.values()])
        used = [model.head.weight, *(one.mean.weight for one in styles.values())]
        return torch.cat([weight.flatten() for weight in used]).sum()

    monkeypatch.setattr(CUTI, "loss", remember)
    CUTI(Recipe(epochs=2, batch_size=6, learning_rate=1e-2), style=style).fit(
        network(), make_tasks()
    )
    assert [len(one) for one in seen] == [0, 1, 0, 1, 0, 1]
    first, *others = (one for (one,) in seen[1::2])
    assert not any(torch.equal(first, other) for other in others)
    # One that is learned moves a little, by Adam; one that is drawn anew is another.
    is_near = all(bool(((first - other).abs() < 0.05).all()) for other in others)
    assert is_near == (style == "learned")


@pytest.mark.parametrize(
    "method",
    [
        GradientAscent(ONCE, steps=2, head_steps=2),
        AdversarialHead(ONCE, head_steps=1),
        NTL(ONCE, head_steps=1, depth=1),
        CUTI(ONCE, head_steps=1),
        HNTL(ONCE, latent=2, hidden=3),
        RepNoise(ONCE, steps=2, head_steps=2),
    ],
    ids=lambda method: type(method).__name__,
)
def test_methods_take_any_classes_networks_and_few_samples(method: Method) -> None:
    """BatchNorm and no bias in the head; five undesirable classes of one known sample each."""
    torch.set_default_dtype(torch.float32)
    desirable = Task("wanted", ("a", "b"), Data(*batch(12, 2)), Data(*batch(12, 2)))
    undesirable = Task("not", tuple("vwxyz"), Data(*batch(10, 5)), Data(*batch(10, 5)))
    tasks = TaskPair(desirable, undesirable, Data(*batch(5, 5)))
    blocks = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True))
    last = nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.BatchNorm1d(6), nn.ReLU())
    model = Classifier(nn.Sequential(*blocks, last), nn.Linear(6, 2, bias=False))
    fitted = method.fit(model, tasks)
    assert fitted(desirable.test.inputs).shape == (12, 2)
    before, after = model.state_dict(), fitted.state_dict()
    assert not torch.equal(before["backbone.1.running_mean"], after["backbone.1.running_mean"])
    assert not torch.equal(before["head.weight"], after["head.weight"])


@pytest.mark.parametrize(
    "build",
    [
        lambda: GradientAscent(limit=0.0),
        lambda: GradientAscent(along=-1),
        lambda: AdversarialHead(heads=0),
        lambda: AdversarialHead(weight=math.inf),
        lambda: NTL(undesirable_batch_size=1),
        lambda: NTL(distance_alpha=-1.0),
        lambda: NTL(form="both"),  # type: ignore[arg-type]
        lambda: CUTI(head_steps=0),
        lambda: CUTI(beta=math.nan),
        lambda: CUTI(style="old"),  # type: ignore[arg-type]
        lambda: HNTL(latent=0),
        lambda: HNTL(reconstruction=-1.0),
        lambda: RepNoise(undesirable_batch_size=1),
        lambda: RepNoise(beta=-0.1),
        lambda: RepNoise(noise="none"),  # type: ignore[arg-type]
    ],
)
def test_refuses_settings_out_of_range(build: Callable[[], Method]) -> None:
    with pytest.raises(InputError):
        build()
