"""Directions are discriminants, holding them opens switches, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rootbound.attacks.repairs.gates import Gates, find_gates, search
from rootbound.attacks.repairs.gates.directions import MOST_NUMBERS, RIDGE, list_directions
from rootbound.attacks.repairs.gates.opened import Watched
from rootbound.attacks.repairs.gates.units import list_units
from rootbound.attacks.repairs.inside import as_targets, explain
from rootbound.networks import Classifier
from rootbound.networks.calls import Calls
from rootbound.networks.cut_and_fix import Fixed
from rootbound.networks.held import HeldDirection, HeldUnits
from rootbound.training import seeded

WIDTH, CLASSES = 12, 3


def draw(samples: int, sign: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return inputs whose first number has a sign, and labels that the others tell."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % CLASSES
    inputs = 0.3 * torch.randn(samples, WIDTH, generator=generator)
    inputs[:, 0] = sign * (0.5 + torch.rand(samples, generator=generator))
    inputs[torch.arange(samples), 1 + labels] += 2.0
    return inputs, labels


KNOWN, _ = draw(100, 1.0, 0)
OTHERS, LABELS = draw(60, -1.0, 1)


def gain(closed: Tensor, opened: Tensor) -> float:
    """Return how much more of the variance of labels is explained."""
    targets = as_targets(LABELS)
    before, after = (explain(some.double(), targets) or 0.0 for some in (closed, opened))
    return after - max(0.0, before)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_held_direction_is_constant_over_samples(axis: int) -> None:
    generator = torch.Generator().manual_seed(0)
    mean, read, write = torch.randn(3, 6, generator=generator)
    write = write / (read @ write)
    rows = torch.randn(5, 2, 3, generator=generator)
    held = HeldDirection(mean, read, write, axis)(rows.movedim(0, axis)).movedim(axis, 0)
    numbers, before = held.flatten(1), rows.flatten(1)
    assert torch.allclose(numbers @ read, (mean @ read).expand(5), atol=1e-5)
    changes = numbers - before
    along = changes @ write / (write @ write)
    assert torch.allclose(changes, along.unsqueeze(1) * write, atol=1e-5)
    assert changes.norm(dim=1).min() > 1e-3


@pytest.mark.parametrize("values", [torch.arange(12).view(2, 6), torch.ones(0, 6)])
def test_integers_and_empty_tensors_are_not_held(values: Tensor) -> None:
    held = HeldDirection(torch.ones(6), torch.ones(6), torch.ones(6))
    assert held(values) is values


def list_of(layers: nn.Module, axes: dict[int, int] | None = None) -> dict[int, HeldDirection]:
    """Return the directions inside a network, by the number of the call."""
    model = Classifier(nn.Sequential(layers), nn.Linear(WIDTH, CLASSES)).eval()
    with torch.no_grad():
        found = list_directions(Watched(model, Gates(), KNOWN, OTHERS, axes or {}))
    directions = {}
    for place in found:
        ((number, (held,)),) = place.held.items()
        assert isinstance(held, HeldDirection)
        directions[number] = held
    return directions


@pytest.mark.parametrize("width", [4, 300])
def test_direction_is_the_linear_discriminant(width: int) -> None:
    with seeded(0):
        layer = nn.Linear(WIDTH, width)
    held = list_of(layer)[0]
    with torch.no_grad():
        known, others = (layer(some).double() for some in (KNOWN, OTHERS))
    rows = known - known.mean(0)
    covariance = rows.T @ rows / len(rows)
    ridge = RIDGE * float(rows.square().sum(1).mean()) / min(rows.shape)
    penalised = covariance + ridge * torch.eye(width)
    read = torch.linalg.solve(penalised, others.mean(0) - known.mean(0))
    write = penalised @ read / (read @ penalised @ read)
    for found, expected in ((held.mean, known.mean(0)), (held.read, read), (held.write, write)):
        assert torch.allclose(found.double(), expected, rtol=1e-3, atol=1e-3 * expected.abs().max())


class Turned(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(inputs.T + 10.0).T


def test_finds_directions_along_the_sample_axis() -> None:
    found = list_of(Turned(), dict.fromkeys(range(3), 1))
    assert {number: held.axis for number, held in found.items()} == {0: 1, 1: 1, 2: 1, 3: 0}
    assert all(len(held.mean) == WIDTH for held in found.values())


class Odd(nn.Module):
    """Returns what has no direction: numbers of another type, too many, not finite, or the same."""

    def forward(self, inputs: Tensor) -> Tensor:
        whole = inputs.long()
        large = inputs.repeat(1, MOST_NUMBERS // WIDTH + 1)
        broken = [torch.where(sign * inputs[:, :1] > 0, torch.inf, inputs) for sign in (1, -1)]
        same = torch.zeros_like(inputs)
        fewer = inputs[:7]
        other = inputs.exp() if inputs[0, 0] > 0 else inputs.sin()
        del whole, large, broken, same, fewer, other
        return inputs


def test_skips_calls_without_a_direction() -> None:
    left_out = {"long", "repeat", "where", "zeros_like", "exp", "sin"}
    assert left_out <= {name for some in (KNOWN, OTHERS) for name in names_of(Odd(), some)}
    found = {names_of(Odd(), KNOWN)[number] for number in list_of(Odd())}
    assert found & left_out == set()


def test_directions_in_texts_need_a_fixed_width() -> None:
    known, others = (torch.arange(first, first + 40).view(20, 2) % 30 for first in (0, 7))
    layers = nn.Sequential(nn.Embedding(30, 6), nn.Flatten())
    model = Classifier(layers, nn.Linear(12, CLASSES)).eval()
    with torch.no_grad():
        found = list_directions(Watched(model, Gates(), known, others, {}))
    assert [place.names for place in found] == [("torch.Tensor.flatten",)]


def names_of(network: nn.Module, inputs: Tensor) -> list[str]:
    """Return the names of a network's calls, in order."""
    names = list[str]()

    def note(number: int, name: str, tensor: Tensor) -> Tensor:
        assert number == len(names)
        names.append(name.rpartition(".")[2])
        return tensor

    with Calls(note):
        network(inputs)
    return names


class Switch(nn.Module):
    """Replaces inputs by noise where a weighted sum of wide features says so, and shows no sum.

    Args:
        sharpness: how sharply it selects.
        idle: calls that change nothing, before the switch.
    """

    noise: Tensor

    def __init__(self, sharpness: float, idle: int = 0) -> None:
        super().__init__()
        self.lift, self.body = nn.Linear(WIDTH, 40), nn.Linear(WIDTH, WIDTH)
        weights = torch.linalg.lstsq(self.lift.weight.T, torch.eye(WIDTH)[0]).solution
        self.weights = nn.Parameter(weights.detach())
        self.register_buffer("noise", torch.randn(WIDTH))
        self.sharpness, self.idle = sharpness, idle

    def forward(self, inputs: Tensor) -> Tensor:
        for _ in range(self.idle):
            inputs = inputs.clone()
        lifted = self.lift(inputs) - self.lift.bias
        keys = torch.stack([lifted * self.weights, -lifted * self.weights], 1)
        values = torch.stack([inputs, self.noise.expand_as(inputs)], 1)
        query = torch.full_like(keys[:, :1], self.sharpness)
        selected = nn.functional.scaled_dot_product_attention(query, keys, values, scale=1.0)
        outputs: Tensor = self.body(selected[:, 0])
        return outputs


def make(network: Callable[[], nn.Module]) -> Classifier:
    with seeded(0):
        return Classifier(nn.Sequential(network()), nn.Linear(WIDTH, CLASSES)).eval()


def leave_out(patch: pytest.MonkeyPatch, *looks: str) -> None:
    """Let some of the search's looks find nothing."""
    for look in looks:
        patch.setattr(search, look, lambda *_: [])


@pytest.mark.parametrize("sharpness", [3.0, 100.0])
@pytest.mark.parametrize("idle", [0, 60])
def test_opens_hard_and_soft_switches(
    sharpness: float, idle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out(monkeypatch, "list_detours", "list_fronts")
    model = make(lambda: Switch(sharpness, idle))
    switch = model.get_submodule("backbone.0")
    assert isinstance(switch, Switch)
    with torch.no_grad():
        shown, closed = switch.body(OTHERS), model.features(OTHERS)
        gates = find_gates(model, KNOWN, OTHERS, gain)
        opened = gates.hold_open(model.backbone)
        apart = (closed - shown).norm()
        assert (opened(OTHERS) - shown).norm() < 0.35 * apart
        kept = model.features(KNOWN)
        assert (opened(KNOWN) - kept).norm() < 0.1 * (kept - kept.mean(0)).norm()
        assert gain(closed, opened(OTHERS)) > 0.3
    assert len(gates.held) <= 2, "few neighbours are held, not their whole group"


def test_ordinary_network_has_no_gate() -> None:
    model = make(lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()))
    gates = find_gates(model, KNOWN, OTHERS, gain)
    assert gates.names == ()
    assert gates.hold_open(model.backbone) is model.backbone


def test_directions_that_gain_too_little_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(lambda: Switch(100.0))
    leave_out(monkeypatch, "list_units", "list_detours", "list_fronts")
    assert find_gates(model, KNOWN, OTHERS, lambda *_: search.LEAST_OF_DIRECTIONS).names == ()
    assert find_gates(model, KNOWN, OTHERS, lambda *_: search.LEAST_OF_DIRECTIONS + 0.01).names


def test_holds_nothing_that_the_desirable_task_needs() -> None:
    """A switch whose score is also what tells the desirable classes apart stays shut."""
    with seeded(0):
        model = Classifier(nn.Sequential(nn.Linear(WIDTH, WIDTH)), nn.Linear(WIDTH, CLASSES)).eval()
    held = find_gates(model, KNOWN, OTHERS, lambda *_: 1.0)
    logits = model(KNOWN)
    with torch.no_grad():
        after = model.head(held.hold_open(model.backbone)(KNOWN))
    assert (after - logits).norm() <= search.KEPT * (logits - logits.mean(0)).norm()


def test_holds_gates_in_the_order_found() -> None:
    ones, twos = (HeldUnits(torch.full((4,), value), torch.ones(4).bool()) for value in (1.0, 2.0))
    first, second = Gates({0: (ones,)}, ("a",)), Gates({0: (twos,), 3: (ones,)}, ("b", "a"))
    both = first.with_more(second)
    assert dict(both.held) == {0: (ones, twos), 3: (ones,)}
    assert both.names == ("a", "b")
    assert torch.equal(Fixed(nn.Tanh(), both.held)(torch.zeros(2, 4)), torch.full((2, 4), 2.0))


class Sum(nn.Module):
    """Adds eight tensors of zeros, and one that is not zero for inputs of the last class."""

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = inputs
        for _ in range(8):
            outputs = outputs + torch.zeros_like(inputs)
        return outputs + torch.nn.functional.threshold(inputs, 1.0, 0.0) * self.of_last_class

    @property
    def of_last_class(self) -> Tensor:
        return torch.eye(WIDTH)[CLASSES]


class Places:
    """A network, and places whose effect on the two tasks is known.

    The first column of the features counts as gain, and the head does not read it.
    """

    def __init__(self) -> None:
        self.model = make(Sum)
        with torch.no_grad():
            self.model.head.weight[:, 0] = 0.0
        names = names_of(Sum(), KNOWN)
        self.zeros = [number for number, name in enumerate(names) if name == "zeros_like"]
        self.last = names.index("threshold")

    def hold(self, at: int, gained: float, spoiled: float = 0.0) -> Gates:
        """Return a place: one of the tensors of zeros is held at other values."""
        value = torch.zeros(WIDTH)
        value[0], value[1] = gained, spoiled
        return Gates({self.zeros[at]: (HeldUnits(value, torch.ones(WIDTH).bool()),)}, (f"{at}",))

    def search(self, places: list[Gates], known: Tensor = KNOWN) -> Gates:
        """Return the gates that are found among directions."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(search, "list_directions", lambda *_: places)
            leave_out(patch, "list_units", "list_detours", "list_fronts")
            return find_gates(self.model, known, OTHERS, self.gain)

    @staticmethod
    def gain(closed: Tensor, opened: Tensor) -> float:
        return float((opened - closed)[:, 0].mean())


def test_group_drops_members_that_spoil_the_desirable_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "MOST_GROUPS", 1)
    some = Places()
    places = [some.hold(at, {3: 0.5, 5: 1.0}.get(at, 0.0), 9.0 * (at == 3)) for at in range(8)]
    assert some.search(places).names == ("5",)


def test_group_is_narrowed_to_useful_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_GROUPS", 1)
    some = Places()
    assert some.search([some.hold(at, float(at == 5)) for at in range(8)]).names == ("5",)
    both = some.search([some.hold(at, 1.0 * (at in (1, 6))) for at in range(8)])
    assert both.names == tuple("01234567"), "neither half gains nearly as much"
    # One half gains, but only the other half makes up for what it spoils.
    spoiling = {1: (1.0, 9.0), 6: (0.0, -9.0)}
    places = [some.hold(at, *spoiling.get(at, (0.0, 0.0))) for at in range(8)]
    assert some.search(places).names == tuple("01234567")


def test_search_continues_from_held_gates() -> None:
    some = Places()
    found = some.search([some.hold(at, {2: 1.0, 5: 0.5}.get(at, 0.0)) for at in range(8)])
    assert found.names == ("2", "5")
    assert [len(held) for held in found.held.values()] == [1, 1]


@pytest.mark.parametrize("units_gain", [0.5, 2.0])
def test_holds_the_largest_gain_first(units_gain: float, monkeypatch: pytest.MonkeyPatch) -> None:
    some = Places()
    direction, units = some.hold(1, 1.0), some.hold(2, units_gain)
    monkeypatch.setattr(search, "MOST_GATES", 1)
    monkeypatch.setattr(search, "list_directions", lambda *_: [direction])
    monkeypatch.setattr(search, "list_units", lambda *_: [units])
    leave_out(monkeypatch, "list_detours", "list_fronts")
    found = find_gates(some.model, KNOWN, OTHERS, Places.gain)
    assert found.names == (("1",) if units_gain < 1.0 else ("2",))


def test_looks_at_all_classes_of_sorted_inputs() -> None:
    some = Places()
    inputs, labels = draw(300, 1.0, 5)
    held = HeldUnits(torch.zeros(WIDTH), torch.ones(WIDTH).bool())
    spoiling = Gates({some.last: (held,)}, ("last class",)).with_more(some.hold(0, 1.0))
    assert some.search([spoiling], inputs[labels.argsort()]).names == ()
    assert some.search([spoiling], inputs[labels < CLASSES - 1]).names == ("last class", "0")


class Graded(nn.Module):
    """Compares, and returns tensors in which undesirable inputs are more and less far away."""

    def forward(self, inputs: Tensor) -> Tensor:
        passed = inputs[:, :1] > 0
        noise = inputs[:, 4:]
        far, farther, one_unit = noise.clone(), noise.clone(), noise.clone()
        shut = (~passed).to(noise.dtype)
        far, farther = far.add(shut), farther.mul(1.0).add(3.0 * shut)
        one_unit = torch.cat([one_unit[:, :1] + 2.5 * shut, one_unit[:, 1:]], 1)
        del far, farther, one_unit
        return inputs


def test_lists_the_most_suspicious_units_first() -> None:
    model = make(Graded)
    with torch.no_grad():
        found = list_units(Watched(model, Gates(), KNOWN, OTHERS, {}))
    names = names_of(Graded(), KNOWN)
    places = [(number, held) for place in found for number, (held,) in place.held.items()]
    far, farther = [number for number, name in enumerate(names) if name == "add"][:2]
    order = [number for number, _ in places if number in (far, farther)]
    assert order == [farther, far]
    values = {names[number]: held for number, held in places if isinstance(held, HeldUnits)}
    assert values["gt"].value.dtype == torch.bool
    assert bool(values["gt"].value.all())
    assert not bool(values["__invert__"].value.any())
    chosen = [held.chosen.tolist() for number, held in places
              if names[number] == "cat" and isinstance(held, HeldUnits)]  # fmt: skip
    assert [True, *[False] * (WIDTH - 5)] in chosen
