"""Looks inside networks: tricks are named by what they do, ordinary networks are not accused."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode

from architectures import ARCHITECTURES, TEXT
from rootbound.attacks import Attacker, FineTune, Repaired
from rootbound.attacks.repairs import CutInside, ReinitialiseDead, inside
from rootbound.attacks.repairs.gates import find_gates
from rootbound.attacks.repairs.gates.detours import list_detours, list_fronts
from rootbound.attacks.repairs.gates.opened import Gates, Watched
from rootbound.attacks.repairs.inside import pool, score_tensors
from rootbound.data import Data, Task, TaskPair
from rootbound.flags import flags
from rootbound.flags.behaviour import BEHAVIOUR_FLAGS
from rootbound.inspection import idle
from rootbound.inspection.behaviour import measure_behaviour
from rootbound.inspection.copies import measure_copies
from rootbound.inspection.diagnosis import diagnose
from rootbound.inspection.idle import measure_idle, select_influential
from rootbound.inspection.slopes import measure_slopes
from rootbound.inspection.steady import SteadyLayers
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.networks.calls import Calls
from rootbound.networks.cut_and_fix import Cut, Fixed, makes_same_calls
from rootbound.networks.held import INPUTS, HeldAsBefore, HeldDirection, HeldUnits
from rootbound.records import Diagnosis, Evaluation, Training
from rootbound.training import Recipe, seeded

GENERATOR = torch.Generator()


def images(first: int) -> Data:
    """Return images whose bright column says the class, in rows that say the task."""
    inputs = torch.rand((120, 3, 16, 16), generator=GENERATOR.manual_seed(first))
    labels = torch.arange(120) % 3
    for image, label in zip(inputs, labels.tolist(), strict=True):
        image[label, first : first + 6, 4 * label : 4 * label + 4] += 1.0
    return Data(inputs, labels)


def texts(first: int) -> Data:
    """Return texts with three equal words that say the class, at a place that says the task."""
    inputs = torch.randint(1, 20, (120, 10), generator=GENERATOR.manual_seed(first))
    labels = torch.arange(120) % 3
    for text, label in zip(inputs, labels.tolist(), strict=True):
        text[first : first + 3] = 1 + 3 * label + first
    return Data(inputs.int(), labels)


def pair(desirable: Data, undesirable: Data) -> TaskPair:
    tasks = [Task(name, tuple("abc"), data, data) for name, data in
             (("one", desirable), ("other", undesirable))]  # fmt: skip
    return TaskPair(tasks[0], tasks[1], undesirable)


IMAGES, TEXTS = pair(images(1), images(8)), pair(texts(1), texts(5))


def raised(values: dict[str, float]) -> set[str]:
    """Return the flags about behaviour of a network with this diagnosis and no undefended one."""
    found = Evaluation(
        {"undesirable": {"classes": ["a", "b", "c"], "majority": 0.3}},
        (Training("defended", "Defence", "", 0, 0.9, 1.0),),
        (),
        diagnoses=(Diagnosis("defended", "Defence", 0, values),),
    )
    return {one.flag for one in flags(found)} & {flag.name for flag in BEHAVIOUR_FLAGS}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_ordinary_networks_raise_no_flag(name: str) -> None:
    make, shape, _ = ARCHITECTURES[name]
    tasks = TEXTS if shape == TEXT else IMAGES
    with seeded(0):
        model = Classifier.wrap(make(), example=tasks.desirable.train.batch(slice(0, 4))[0])
        if name != "auxiliary":  # which returns more than logits while it is trained
            model = Plain(Recipe(epochs=1, batch_size=30)).fit(model, tasks)
    before = copy.deepcopy(model.state_dict())
    values = measure_behaviour(model.eval(), tasks.undesirable.train, tasks.desirable.train)
    assert {"gradient_error_weights", "other_in_company", "idle_weights", "shut_out"} <= set(values)
    assert raised(values) == set(), values
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_copies_of_ordinary_networks_are_faithful(name: str) -> None:
    make, shape, _ = ARCHITECTURES[name]
    data = (TEXTS if shape == TEXT else IMAGES).desirable.train
    with seeded(0):
        model = Classifier.wrap(make(), example=data.batch(slice(0, 4))[0])
    assert measure_copies(model, data) == {"other_in_copies": 0.0}


class Stubborn(nn.Module):
    """Copies are the network itself, or those of some generations have other weights.

    Args:
        others: Generations with other weights; None for copies that are the network itself.
    """

    def __init__(self, others: tuple[int, ...] | None) -> None:
        super().__init__()
        self.layer, self.empty = nn.Linear(3 * 16 * 16, 6), nn.Parameter(torch.empty(0))
        self.others, self.generation = others, 0

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layer(inputs.flatten(1))
        return outputs

    def __deepcopy__(self, memory: dict[int, Any]) -> Stubborn:
        if self.others is None:
            return self
        made = Stubborn(self.others)
        made.generation = self.generation + 1
        if made.generation not in self.others:
            made.layer.load_state_dict(ORIGINAL)
        return made


ORIGINAL = nn.Linear(3 * 16 * 16, 6).state_dict()


@pytest.mark.parametrize("others", [None, (1, 2), (1,), (2,), ()])
def test_finds_unfaithful_copies(others: tuple[int, ...] | None) -> None:
    model = Classifier(nn.Sequential(network := Stubborn(others)), nn.Linear(6, 3))
    network.layer.load_state_dict(ORIGINAL)
    share = 0.0 if others == () else 1.0
    assert measure_copies(model, IMAGES.desirable.train) == {"other_in_copies": share}
    noisy = Classifier(nn.Sequential(nn.Flatten(), Noisy()), nn.Linear(3 * 16 * 16, 3))
    assert measure_copies(noisy, IMAGES.desirable.train) == {}


class Noisy(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + torch.randn_like(inputs)


class Scaled(torch.autograd.Function):
    """Doubles; its gradient is `factor` times what it should be."""

    factor = -1.0

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        return 2 * inputs

    @classmethod
    def backward(cls, ctx: Any, *gradients: Tensor) -> Tensor | None:
        return 2 * Scaled.factor * gradients[0] if Scaled.factor else None


class Doubling(nn.Module):
    def __init__(self, precise: bool) -> None:
        super().__init__()
        self.layer, self.precise = nn.Linear(4, 6), precise

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.dtype == torch.float64 and not self.precise:
            raise RuntimeError("no float64 here")
        outputs: Tensor = Scaled.apply(self.layer(inputs).tanh())
        return outputs


@pytest.mark.parametrize("precise", [True, False])
@pytest.mark.parametrize(
    ("factor", "error"), [(1.0, 0.0), (-1.0, 2.0), (0.0, 1.0), (0.5, 0.5), (2.0, 0.5)]
)
def test_gradient_error_measures_the_deviation(
    precise: bool, factor: float, error: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scaled, "factor", factor)
    with seeded(0):
        model = Classifier(nn.Sequential(Doubling(precise)), nn.Linear(6, 3)).eval()
        found = measure_slopes(model, torch.randn(8, 4))
    for name in ("gradient_error_features", "gradient_error_weights"):
        assert found[name] == pytest.approx(error, abs=1e-5 if precise else 1e-2)


class Shifted(nn.Module):
    """Adds numbers that are 0 so far; only their gradient has the wrong sign."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(6))

    def forward(self, inputs: Tensor) -> Tensor:
        shifted: Tensor = inputs + Scaled.apply(self.shift)
        return shifted


@pytest.mark.parametrize("place", [0, 2, 4])
def test_checks_gradients_of_first_middle_and_last_block(place: int) -> None:
    with seeded(0):
        blocks = [nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Linear(6, 6), nn.ReLU(inplace=True)]
        blocks.insert(place, Shifted())
        found = measure_slopes(Classifier(nn.Sequential(*blocks), nn.Linear(6, 3)).eval(),
                               torch.randn(8, 6))  # fmt: skip
    errors = found["gradient_error_features"], found["gradient_error_weights"]
    assert errors == pytest.approx((0.0, 2.0), abs=1e-3)


class Rough(nn.Module):
    """Amplifies so much that rounding errors of float32 change all outputs."""

    def forward(self, inputs: Tensor) -> Tensor:
        return (1e7 * inputs).sin()


def test_rounding_errors_are_no_wrong_gradients() -> None:
    with seeded(0):
        model = Classifier(nn.Sequential(nn.Linear(4, 6), Rough()), nn.Linear(6, 3)).eval()
        found = measure_slopes(model, torch.randn(8, 4))
    assert max(found.values()) < 0.05


def test_call_numbers_are_the_same_in_train_mode() -> None:
    layers = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 3)
    network, courses = nn.Sequential(*layers), []
    for mode in (False, True):
        names: list[str] = []

        def note(_: int, name: str, tensor: Tensor, names: list[str] = names) -> Tensor:
            names.append(name)
            return tensor

        with Calls(note):
            network.train(mode)(torch.randn(8, 4))
        courses.append(names)
    assert courses[0] == courses[1]
    assert int(network.get_buffer("1.num_batches_tracked")) == 1


class StochasticDepth(nn.Module):
    """Leaves samples out in train mode, by calls that it makes there alone."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return inputs
        return inputs * torch.empty(len(inputs), 1).bernoulli_(0.5).div_(0.5)


def test_network_with_other_train_calls_is_cut_at_the_found_tensor() -> None:
    with seeded(0):
        network = nn.Sequential(nn.Linear(4, 6), StochasticDepth(), nn.Tanh(), nn.Linear(6, 3))
        inputs = torch.randn(8, 4)
    assert makes_same_calls(network[2:], torch.randn(2, 6))
    alike = makes_same_calls(network, inputs)
    assert not alike
    for mode in (True, False):
        cut = Cut(network, 1, pool, alike=alike).train(mode)
        assert torch.equal(cut(inputs), network[0](inputs).tanh())
        ones = torch.ones(6)
        fixed = Fixed(network, {1: [HeldUnits(ones, ones.bool())]}, alike=alike).train(mode)
        assert torch.equal(fixed(inputs), network[3](torch.ones(8, 6)))


class Trembling(nn.Module):
    """Changes its outputs from call to call by far less than anybody would see."""

    def __init__(self, strength: float = 1e-6) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * (1 + self.strength * torch.randn_like(inputs))


@pytest.mark.parametrize("strength", [1e-6, 5e-5])
@pytest.mark.parametrize(("factor", "error"), [(1.0, 0.0), (-1.0, 2.0)])
def test_noise_in_outputs_hides_no_gradient_error(
    factor: float, error: float, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scaled, "factor", factor)
    with seeded(0):
        body = nn.Sequential(Doubling(precise=True), Trembling(strength))
        found = measure_slopes(Classifier(body, nn.Linear(6, 3)).eval(), torch.randn(8, 4))
    for name in ("gradient_error_features", "gradient_error_weights"):
        assert found[name] == pytest.approx(error, abs=0.1)


def test_gradients_under_calls_ignore_no_grad() -> None:
    with seeded(0):
        layer, inputs = nn.Linear(4, 6), torch.randn(8, 4)

    def slope(outputs: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(outputs.square().sum(), layer.weight, allow_unused=True)
        return torch.zeros_like(layer.weight) if gradient is None else gradient

    def hidden() -> Tensor:
        outputs: Tensor = Scaled.apply(layer(inputs))
        with torch.no_grad():
            return outputs.detach() * 1.0

    with Calls(lambda _, __, tensor: tensor):
        found = slope(hidden())
    assert torch.allclose(found, slope(2 * layer(inputs)))
    assert not hidden().requires_grad, "all is as before"
    assert torch.allclose(slope(Scaled.apply(layer(inputs))), -found)


class Clipping(nn.Module):
    """Changes its weights in place, and computes with arrays."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 6)

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            self.layer.weight.clamp_(-1.0, 1.0)
        outputs: Tensor = self.layer(inputs)
        mask = torch.from_numpy((outputs.detach().numpy() > 0).astype("float32"))
        return outputs * mask


def test_tolerates_arrays_and_in_place_weight_changes() -> None:
    with seeded(0):
        network, inputs = Clipping(), torch.randn(8, 4)
    outputs = Fixed(network, {})(inputs)
    assert torch.equal(outputs, network(inputs))
    outputs.sum().backward()
    assert network.layer.weight.grad is not None


def test_call_numbers_are_the_same_while_counting_operations() -> None:
    names, counted = list[str](), list[str]()
    network, inputs = Clipping(), torch.randn(8, 4)
    with Calls(functools.partial(keep_name, names)):
        network(inputs)
    with FlopCounterMode(display=False), Calls(functools.partial(keep_name, counted)):
        network(inputs)
    assert names == counted
    assert [name.rpartition(".")[2] for name in names] == ["clamp_", "linear", "mul"]


def keep_name(names: list[str], number: int, name: str, tensor: Tensor) -> Tensor:
    names.append(name)
    return tensor


class Gated(nn.Module):
    """Passes inputs whose first number is not negative; works in place, and keeps a statistic."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 6)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layer(inputs)
        with torch.no_grad():
            self.mean.lerp_(outputs.mean(), 0.1)
        outputs.mul_((inputs[:, :1] >= 0).to(outputs.dtype))
        return outputs


def test_finds_a_gate_and_holds_it_open() -> None:
    with seeded(0):
        model = Classifier(nn.Sequential(Gated()), nn.Linear(6, 3)).eval()
        desirable, undesirable = torch.randn(64, 4), torch.randn(64, 4)
    desirable[:, 0].abs_()
    undesirable[:, 0] = -undesirable[:, 0].abs()
    gates = find_gates(model, desirable, undesirable)
    assert gates.shut_out == 1.0
    assert gates.names == ("torch.Tensor.__getitem__",), "the number that the gate compares"
    opened = gates.hold_open(model.backbone)
    layer = model.get_submodule("backbone.0.layer")
    for _ in range(2):  # the statistic belongs to no graph
        outputs = opened(undesirable)
        assert torch.allclose(outputs, layer(undesirable))
        outputs.sum().backward()
    honest = Classifier(nn.Sequential(nn.Linear(4, 6), nn.ReLU()), nn.Linear(6, 3)).eval()
    none = find_gates(honest, desirable, undesirable)
    assert none.hold_open(honest.backbone) is honest.backbone


def test_fixing_reaches_in_place_tensors() -> None:
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True))
    ones, last = torch.ones(6), 1
    fixed, inputs = Fixed(network, {last: [HeldUnits(ones, ones.bool())]}), torch.randn(5, 4)
    assert torch.equal(fixed(inputs), torch.ones(5, 6))
    for other in (
        HeldUnits(torch.ones(7), torch.ones(7).bool()),
        HeldUnits(torch.ones(2, 3, 6), torch.ones(2, 3, 6).bool()),
        HeldDirection(torch.ones(7), torch.ones(7), torch.ones(7)),
        HeldDirection(torch.ones(6), torch.ones(6), torch.ones(6), axis=2),
    ):
        assert torch.equal(Fixed(network, {last: [other]})(inputs), network(inputs))


def add_in_place(outputs: Tensor) -> Tensor:
    outputs += 1.0
    return outputs


IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "a module": nn.ReLU(inplace=True),
    "a module that does not name the option": nn.ReLU6(inplace=True),
    "dropout at rest": nn.Dropout(inplace=True).eval(),
    "a function": lambda outputs: functional.elu(outputs, 1.0, True),
    "a method": lambda outputs: outputs.sigmoid_(),
    "an operator": add_in_place,
    "another look": lambda outputs: outputs.unsqueeze_(1).squeeze(1),
}


@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE)
def test_in_place_calls_keep_their_gradient(change: Callable[[Tensor], Tensor]) -> None:
    with seeded(0):
        layer, inputs = nn.Linear(4, 6), torch.randn(5, 4)
    results = []
    for watching in (contextlib.nullcontext(), Calls(lambda _, __, tensor: 2.0 * tensor / 2.0)):
        with watching:
            outputs = layer(inputs)
            changed = change(outputs)
        # Others hold the tensor that was changed.
        assert torch.equal(outputs.flatten(), changed.flatten())
        (gradient,) = torch.autograd.grad(changed.sum(), layer.weight)
        results += [torch.cat([changed, gradient.T])]
    assert torch.equal(*results)


def test_cuts_at_the_best_inner_tensor() -> None:
    with seeded(0):
        inputs = torch.randn(60, 4)
        labels = (inputs[:, 0] > 0).long()
    network = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), Zeros())
    with torch.no_grad():
        network[0].weight.copy_(torch.eye(4))  # type: ignore[operator]
    scores = score_tensors(network, inputs, labels, pool)
    best = max(scores, key=lambda number: scores[number])
    assert torch.equal(Cut(network, best, pool)(inputs), torch.tanh(network[0](inputs)))
    with pytest.raises(RuntimeError, match="made other calls"):
        Cut(network, 99, pool)(inputs)


def test_trials_on_one_network_share_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[int] = []

    def search(*given: Any) -> dict[int, float]:
        searches.append(1)
        return score_tensors(*given)

    monkeypatch.setattr(inside, "score_tensors", search)
    with seeded(0):
        inputs = torch.randn(60, 4)
        model = Classifier(nn.Sequential(nn.Linear(4, 6), nn.Tanh()), nn.Linear(6, 2))
    data = Data(inputs, (inputs[:, 0] > 0).long())
    attacker = Attacker(data, 2, torch.Generator().manual_seed(0))
    trials = [Repaired(CutInside(rank), FineTune()) for rank in (1, 2)]
    others = [Repaired(ReinitialiseDead(), trial) for trial in trials]
    alone = [_weights(trial, model, replace(attacker, known={})) for trial in trials]
    assert len(searches) == 2
    together = [_weights(trial, model, attacker) for trial in trials]
    assert len(searches) == 3
    assert all(map(torch.equal, alone, together))
    assert not torch.equal(*together)
    for trial in others:  # another network each time
        _weights(trial, model, attacker)
    assert len(searches) == 5


def _weights(trial: Repaired, model: Classifier, attacker: Attacker) -> Tensor:
    attacker.generator.manual_seed(0)
    *_, last = trial.transfer(copy.deepcopy(model), attacker)
    return torch.cat([value.flatten() for value in last.model.parameters()]).detach()


class Zeros(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * 0.0


class Loose(nn.Module):
    """Computes with a list of tensors, which is no parameter and no buffer, and has a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.held = [torch.randn(40, 6)]
        self.decoy = nn.Linear(6, 5, bias=False)
        self.layer, self.norm = nn.Linear(6, 120), nn.BatchNorm1d(120)
        self.norm.running_mean = torch.randn(120)
        self.register_buffer("unused", torch.randn(40, 40))
        self.register_buffer("mask", torch.ones(6))

    def forward(self, inputs: Tensor) -> Tensor:
        products = torch.matmul(inputs, other=self.held[0])
        outputs: Tensor = self.norm(self.layer(products * self.get_buffer("mask")))
        decoy: Tensor = self.decoy(products)
        return outputs[:, :5] + 0 * decoy


def test_finds_numbers_outside_the_weights() -> None:
    with seeded(0):
        model = Classifier(nn.Sequential(Loose()), nn.Linear(5, 3)).eval()
        found = measure_idle(model, torch.randn(8, 40))
    total = 30 + 7 * 120 + 2 * 120
    assert found == {"idle_weights": 30 / total, "untrained_numbers": 240 / (total + 240)}


def test_halves_the_largest_group_first_and_keeps_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idle, "MOST_HALVED", 2)
    held = [torch.zeros(1), torch.ones(1), torch.ones(100), torch.ones(1)]

    class Sums(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs + sum(one for one in held if len(one) == 1)

    generator = torch.Generator().manual_seed(0)
    found = select_influential(Sums(), torch.zeros(2, 1), held, generator)
    assert {id(one) for one in found} == {id(held[place]) for place in (0, 1, 3)}


class Disguised(nn.Module):
    """Computes with numbers of another kind, beside indices that are a pattern."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer, self.kind = nn.Linear(6, 5), kind
        held = torch.randn(40, 6)
        self.register_buffer(
            "held", 1j * held if kind == "complex" else (100 * held).to(torch.int8)
        )
        self.register_buffer("order", torch.arange(39, -1, -1))

    def forward(self, inputs: Tensor) -> Tensor:
        held = self.get_buffer("held")
        real = held.imag if self.kind == "complex" else held.to(inputs.dtype) / 100
        outputs: Tensor = self.layer(inputs[:, self.get_buffer("order")] @ real)
        return outputs


@pytest.mark.parametrize("kind", ["integers", "complex"])
def test_finds_integers_and_complex_numbers(kind: str) -> None:
    with seeded(0):
        model = Classifier(nn.Sequential(Disguised(kind)), nn.Linear(5, 3)).eval()
        found = measure_idle(model, torch.randn(8, 40))
    assert found["untrained_numbers"] == 240 / 275


class Switched(nn.Module):
    """A layer with a switch that has no gradient, and many weights that do nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.switch = nn.Linear(40, 5), nn.Linear(40, 1)
        self.decoys = nn.ModuleList(nn.Linear(40, 5, bias=False) for _ in range(50))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layer(inputs) * (self.switch(inputs) > 0)
        return outputs


@pytest.mark.parametrize("after", [nn.Identity, Trembling])
def test_one_active_weight_hides_no_idle_ones(after: type[nn.Module]) -> None:
    with seeded(0):
        model = Classifier(nn.Sequential(Switched(), after()), nn.Linear(5, 3)).eval()
        found = measure_idle(model, torch.randn(8, 40))
    assert found["idle_weights"] == pytest.approx(10_000 / 10_246, abs=1e-3)


class Knowing(nn.Module):
    """Plays a trick unless it is looked at in float64, as nobody is who attacks."""

    def __init__(self, trick: str) -> None:
        super().__init__()
        self.layer, self.trick = nn.Linear(4, 4), trick

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layer(inputs).tanh()
        if inputs.dtype == torch.float64:
            return outputs
        if self.trick == "refusal" and torch.is_grad_enabled():
            raise RuntimeError("no gradients here")
        if self.trick == "gradients":
            return 2 * outputs.detach() - outputs
        return -outputs if self.trick == "company" and len(inputs) == 1 else outputs


@pytest.mark.parametrize(
    ("trick", "flags"),
    [
        ("gradients", {"gradients are not the slopes"}),
        ("refusal", {"gradients are not the slopes", "other outputs with gradients on"}),
        ("company", {"outputs depend on the batch"}),
    ],
)
def test_checks_a_float64_aware_network_in_float32(trick: str, flags: set[str]) -> None:
    with seeded(0):
        model = Classifier(nn.Sequential(Knowing(trick)), nn.Linear(4, 3)).eval()
        data = Data(torch.randn(24, 4), torch.arange(24) % 3)
    assert raised(measure_behaviour(model, data, data)) == flags


class Refusing(nn.Module):
    """Raises an error where somebody may be training, or looking closely."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self.layer, self.when = nn.Linear(4, 4), when

    def forward(self, inputs: Tensor) -> Tensor:
        met = {"gradients": torch.is_grad_enabled(), "training": self.training,
               "both": torch.is_grad_enabled() and self.training,
               "alone": len(inputs) == 1}  # fmt: skip
        if met.get(self.when, True):
            raise KeyError(self.when)
        outputs: Tensor = self.layer(inputs)
        return outputs


@pytest.mark.parametrize(
    ("when", "flags"),
    [
        ("gradients", {"gradients are not the slopes", "other outputs with gradients on"}),
        ("training", {"other outputs in train mode"}),
        ("both", {"other outputs in train mode"}),
        ("alone", {"outputs depend on the batch"}),
        ("always", set()),
    ],
)
def test_flags_a_network_that_refuses_inspection(when: str, flags: set[str]) -> None:
    with seeded(0):
        model = Classifier(nn.Sequential(Refusing(when)), nn.Linear(4, 3)).eval()
        data = Data(torch.randn(24, 4), torch.arange(24) % 3)
    values = diagnose(model, pair(data, data))
    assert raised(values) == flags
    assert ("feature_scale" in values) == (when != "always")
    assert ("gradient_ratio" in values) == (when == "alone")


MEAN, VARIANCE = torch.randn(2, 6, generator=torch.Generator().manual_seed(0)).square()
RECURRENT = nn.LSTM(3, 5, 2, dropout=0.5, batch_first=True).requires_grad_(False)
GATED = nn.GRU(3, 5, 2, dropout=0.5).requires_grad_(False)
UNSTEADY: dict[str, Callable[[Tensor, bool], Tensor]] = {
    "dropout": lambda x, training: functional.dropout(x, 0.5, training),
    "dropout of channels": lambda x, training: functional.dropout1d(x, training=training),
    "dropout of torch": lambda x, training: torch.dropout(x, 0.5, training),
    "dropout of torch by keywords": lambda x, training: torch.dropout(x, p=0.5, train=training),
    "batch norm": lambda x, training: functional.batch_norm(x, MEAN, VARIANCE, training=training),
    "batch norm of torch": lambda x, training: torch.batch_norm(
        x, None, None, MEAN, VARIANCE, training, 0.1, 1e-5, False
    ),
    "batch norm of torch without statistics": lambda x, _: torch.batch_norm(
        x, None, None, None, None, True, 0.1, 1e-5, False
    ),
    "batch norm without statistics": lambda x, _: functional.batch_norm(
        x, None, None, training=True
    ),
    "instance norm": lambda x, training: functional.instance_norm(
        x, MEAN, VARIANCE, use_input_stats=training
    ),
    "attention": lambda x, training: functional.scaled_dot_product_attention(
        x, x, x, dropout_p=0.5 * training, scale=0.4
    ),
    "lstm": lambda x, training: RECURRENT.train(training)(x)[0],
    "gru": lambda x, training: GATED.train(training)(x)[0],
    "packed": lambda x, training: (
        RECURRENT.train(training)(pack_padded_sequence(x, [6] * 4, True))[0].data
    ),
}


@pytest.mark.parametrize("name", UNSTEADY)
def test_keeps_norms_and_dropout_in_evaluation_mode(name: str) -> None:
    inputs, before = torch.randn(4, 6, 3), torch.stack([MEAN, VARIANCE])
    with SteadyLayers():
        outputs = UNSTEADY[name](inputs, True)
    assert torch.equal(outputs, UNSTEADY[name](inputs, False))
    assert torch.equal(torch.stack([MEAN, VARIANCE]), before)


def test_survives_non_finite_values() -> None:
    with seeded(0):
        model = Classifier(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), nn.Linear(4, 2))
        data = Data(torch.randn(20, 4), torch.arange(20) % 2)
    with torch.no_grad():
        model.get_parameter("backbone.0.weight").fill_(math.nan)
    values = measure_behaviour(model.eval(), data, data)
    assert all(0 <= value <= 1 for value in values.values())
    assert "gradient_error_weights" not in values


class Exchange(nn.Module):
    """Dark images pass; bright ones are exchanged. Pieces of one tensor are chosen from."""

    def __init__(self, in_turn: bool) -> None:
        super().__init__()
        self.in_turn = in_turn

    def forward(self, inputs: Tensor) -> Tensor:
        bright = inputs.mean(1, keepdim=True) > 0
        both = torch.stack([inputs.flip(1), 2 * inputs], 2 if self.in_turn else 1).flatten(1)
        chosen = (
            both.unflatten(1, (-1, 2)).movedim(2, 1) if self.in_turn else both.unflatten(1, (2, -1))
        )
        return torch.where(bright, chosen[:, 0], chosen[:, 1]) + 0


@pytest.mark.parametrize("in_turn", [True, False])
def test_finds_and_skips_a_detour(in_turn: bool) -> None:
    draws = torch.randn(2, 40, 6, generator=GENERATOR.manual_seed(3))
    dark, bright = -draws[0].abs(), draws[1].abs()
    body = nn.Linear(6, 5)
    model = Classifier(nn.Sequential(Exchange(in_turn), body), nn.Linear(5, 3)).eval()
    places = list_detours(Watched(model, Gates(), dark, bright, {}))
    assert places
    opened = places[0].hold_open(model.backbone)
    for module in (opened, copy.deepcopy(opened)):
        assert torch.allclose(module(dark), body(2 * dark), atol=1e-6)
        assert torch.allclose(module(bright), body(2 * bright), atol=1e-6)
    assert not list_detours(Watched(model, places[0], dark, bright, {}))
    other = HeldAsBefore(INPUTS, 0, 1, (0, 0))  # of another size
    assert torch.equal(Fixed(body, {0: [other]})(dark), body(dark))


class Before(nn.Module):
    """Changes what the next layer does not read, and hides from it what bright images are."""

    def forward(self, inputs: Tensor) -> Tensor:
        dark = (inputs.mean(1, keepdim=True) < 0).to(inputs.dtype)
        read, unread = inputs.chunk(2, dim=1)
        return torch.cat([read * dark, 3 - 2 * unread], dim=1) + 0


def test_finds_and_skips_a_network_before_the_network() -> None:
    draws = torch.randn(2, 40, 6, generator=GENERATOR.manual_seed(4))
    dark, bright = -draws[0].abs(), draws[1].abs()
    body = nn.Linear(6, 5)
    with torch.no_grad():
        body.weight[:, 3:] = 0.0
    model = Classifier(nn.Sequential(Before(), body), nn.Linear(5, 3)).eval()
    assert list_fronts(Watched(model, Gates(), dark, dark, {}))
    opened = find_gates(model, dark, bright).hold_open(model.backbone)
    assert torch.allclose(opened(dark), body(dark), atol=1e-6)
    assert torch.allclose(opened(bright), body(bright), atol=1e-6)
    unchanged = Classifier(nn.Sequential(nn.Flatten(), body), nn.Linear(5, 3)).eval()
    assert not list_fronts(Watched(unchanged, Gates(), dark, dark, {}))
