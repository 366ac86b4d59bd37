"""Where samples lie in a tensor is found; what is out of sight, or serves one task, is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.repairs.gates import find_gates
from rootbound.attacks.repairs.inside import pool, score_tensors
from rootbound.data import Data
from rootbound.inspection.branches import measure_branches
from rootbound.inspection.sight import measure_sight
from rootbound.networks import Classifier
from rootbound.networks.cut_and_fix import Cut
from rootbound.networks.sample_axis import SampleAxis, find_elsewhere, find_sample_axis
from rootbound.training import seeded

LAYOUTS: dict[str, tuple[Callable[[Tensor], Tensor], SampleAxis | None]] = {
    "rows": (lambda x: x, SampleAxis(0)),
    "windows": (lambda x: x.flatten(0, 1), SampleAxis(0)),
    "columns": (lambda x: x.flatten(1).T, SampleAxis(1)),
    "words first": (lambda x: x.transpose(0, 1), SampleAxis(1)),
    "words, then samples": (lambda x: x.transpose(0, 1).flatten(0, 1), SampleAxis(0, 3)),
    "samples within": (lambda x: x.permute(1, 0, 2).reshape(1, -1), SampleAxis(1, 3)),
    "nothing of any": (lambda x: x.mean(0), None),
    "the same for all": (lambda x: torch.ones(len(x), 4), None),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_finds_samples_along_their_axis(name: str) -> None:
    arrange, expected = LAYOUTS[name]
    inputs = torch.randn(8, 3, 5, generator=torch.Generator().manual_seed(0))
    found = find_sample_axis(arrange(inputs), arrange(inputs.flip(0)), 8)
    assert found == expected
    for some in (inputs, inputs[:1]):
        rows = None if found is None else found.put_first(arrange(some), len(some))
        assert rows is None or torch.equal(rows.flatten(1).sort(1)[0], some.flatten(1).sort(1)[0])


class Columns(nn.Module):
    """Two linear layers, samples along the last axis; a gate shuts out what begins below 0."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 5)

    def forward(self, inputs: Tensor) -> Tensor:
        columns = (self.first.weight @ inputs.T + self.first.bias[:, None]).tanh()
        gate = (inputs.T[:1] >= 0).to(inputs.dtype)
        outputs: Tensor = (self.second.weight @ columns * gate).T
        return outputs


def test_inspection_reads_samples_in_columns() -> None:
    with seeded(0):
        network, inputs = Columns(), torch.randn(64, 4)
        model = Classifier(nn.Sequential(network), nn.Linear(5, 3)).eval()
    assert find_elsewhere(network, inputs[:7])
    negative = torch.cat([-inputs[:, :1].abs(), inputs[:, 1:]], dim=1)
    scores = score_tensors(network, negative, (negative[:, 1] > 0).long(), pool)
    best = max(scores, key=lambda number: scores[number])
    cut = Cut(network, best, pool, samples=find_elsewhere(network, negative[:7]).get(best))
    assert len(cut(negative[:9])) == 9
    positive = torch.cat([inputs[:, :1].abs(), inputs[:, 1:]], dim=1)
    gates = find_gates(model, positive, negative)
    assert gates.shut_out == 1.0
    opened = gates.hold_open(model.backbone)(negative[:9])
    hidden = network.first(negative[:9]).tanh()
    assert torch.allclose(opened, functional.linear(hidden, network.second.weight), atol=1e-6)


class Watched(nn.Module):
    """Two linear layers, the second of which is called in some way; changes its inputs."""

    def __init__(self, call: Callable[[nn.Linear, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.call = nn.Linear(16, 16, bias=False), nn.Linear(16, 16), call

    def forward(self, inputs: Tensor) -> Tensor:
        inputs.mul_(2.0)
        outputs: Tensor = self.call(self.second, self.first(inputs))
        return outputs


def unheard(layer: nn.Linear, values: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        outputs: Tensor = functional.linear(values, layer.weight, layer.bias)
        return outputs


def with_a_loud_decoy(layer: nn.Linear, values: Tensor) -> Tensor:
    outputs: Tensor = torch.cat([layer(one) for one in values.split(1)]) + 0 * layer(values)
    return outputs


def in_arrays(layer: nn.Linear, values: Tensor) -> Tensor:
    weight, bias = (one.numpy(force=True) for one in (layer.weight, layer.bias))
    outputs: Tensor = torch.from_numpy(values.numpy(force=True) @ weight.T + bias)
    return outputs


def mapped(layer: nn.Linear, values: Tensor) -> Tensor:
    outputs: Tensor = torch.func.vmap(layer)(values)
    return outputs


def some_alone(layer: nn.Linear, values: Tensor) -> Tensor:
    chosen = (values[:, 0] > 0).nonzero()[:, 0]
    return values.index_copy(0, chosen, layer(values[chosen]))


def with_numbers_of_words(layer: nn.Linear, values: Tensor) -> Tensor:
    numbers = torch.tensor([[round(100 * one) for one in row] for row in values.tolist()])
    outputs: Tensor = layer(values) + numbers
    return outputs


def in_arrays_of_whole_numbers(layer: nn.Linear, values: Tensor) -> Tensor:
    weight, bias = (one.numpy(force=True) for one in (layer.weight, layer.bias))
    layer.weight.norm(), layer.bias.norm()
    numbers = torch.from_numpy((values.numpy(force=True) @ weight.T + bias).argmax(1))
    return functional.one_hot(numbers, 16).float()


def copied(layer: nn.Linear, values: Tensor) -> Tensor:
    weight = torch.zeros(16, 16)
    weight[:] = layer.weight
    return torch.zeros(len(values), 16).add_(functional.linear(values, weight, layer.bias))


def wiped(layer: nn.Linear, values: Tensor) -> Tensor:
    outputs: Tensor = layer(values)
    kept = outputs.clone()
    outputs.zero_()
    return kept


HELD = torch.randn(40, 16, generator=torch.Generator().manual_seed(1))
WAYS: dict[str, tuple[Callable[[nn.Linear, Tensor], Tensor], float]] = {
    "as usual": (lambda layer, values: layer(values), 0.0),
    "normed weights": (
        lambda layer, values: functional.linear(values, layer.weight / layer.weight.norm()),
        0.0,
    ),
    "by chance": (lambda layer, values: layer(values) * torch.rand(len(values), 16), 0.0),
    "transposed": (lambda layer, values: (layer.weight @ values.T + layer.bias[:, None]).T, 0.0),
    "with what is made anew": (lambda layer, values: layer(values) + torch.arange(16.0), 0.0),
    "with what is held": (lambda layer, values: layer(values) + HELD.square().mean(0), 0.0),
    "with whole numbers of each sample": (with_numbers_of_words, 0.0),
    "by keywords": (
        lambda layer, values: functional.linear(input=values, weight=layer.weight, bias=layer.bias),
        0.0,
    ),
    "copied in place": (copied, 0.0),
    "wiped in place": (wiped, 0.0),
    "unheard": (unheard, 1.0),
    "in arrays": (in_arrays, 1.0),
    "mapped": (mapped, 1.0),
    "one by one": (with_a_loud_decoy, 272 / 528),
    "some alone": (some_alone, 272 / 528),
    "in arrays of whole numbers": (in_arrays_of_whole_numbers, 272 / 528),
}


@pytest.mark.parametrize("name", WAYS)
def test_counts_what_is_used_out_of_sight(name: str) -> None:
    call, expected = WAYS[name]
    with seeded(0):
        model = Classifier(nn.Sequential(Watched(call)), nn.Linear(16, 3)).eval()
        found = measure_sight(model, torch.randn(8, 16))
    assert found["out_of_sight"] == pytest.approx(expected)


def test_weights_sharing_memory_are_in_sight() -> None:
    watched = Watched(lambda layer, values: layer(values))
    watched.second.bias = nn.Parameter(watched.second.weight.data[0])
    model = Classifier(nn.Sequential(watched), nn.Linear(16, 3)).eval()
    assert measure_sight(model, torch.randn(8, 16)) == {"out_of_sight": 0.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.int16])
def test_counts_numbers_brought_along(dtype: torch.dtype) -> None:
    with seeded(0):
        held = (100 * torch.randn(40, 16)).to(dtype).tolist()

        def bring(layer: nn.Linear, values: Tensor) -> Tensor:
            brought = torch.tensor(held, dtype=dtype).float() / 100
            outputs: Tensor = layer(values) + brought.square().mean(0)
            return outputs

        model = Classifier(nn.Sequential(Watched(bring)), nn.Linear(16, 3)).eval()
        found = measure_sight(model, torch.randn(8, 16))
    assert found["out_of_sight"] == pytest.approx(640 / (528 + 640))


def test_acting_differently_when_watched_is_out_of_sight() -> None:
    def shy(layer: nn.Linear, values: Tensor) -> Tensor:
        is_watched = torch._C._len_torch_function_stack() > 0
        outputs: Tensor = layer(values)
        return -outputs if is_watched else outputs

    with seeded(0):
        model = Classifier(nn.Sequential(Watched(shy)), nn.Linear(16, 3)).eval()
        assert measure_sight(model, torch.randn(8, 16)) == {"out_of_sight": 1.0}


class Switched(nn.Module):
    """Two layers, one for inputs whose first number is not negative; nobody sees the switch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(4, 5)

    def forward(self, inputs: Tensor) -> Tensor:
        with torch._C.DisableTorchFunction():
            return torch.where(inputs[:, :1] >= 0, self.first(inputs), self.second(inputs))


class Extended(nn.Module):
    """A layer for all inputs, and one without a bias for those that begin below 0."""

    def __init__(self) -> None:
        super().__init__()
        self.all, self.some = nn.Linear(4, 5), nn.Linear(4, 5, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.all(inputs) + self.some(inputs) * (inputs[:, :1] < 0)
        return outputs


class Faint(nn.Linear):
    """A layer that hardly answers to inputs that begin below 0, with all its weights."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * torch.where(inputs[:, :1] < 0, 1e-5, 1.0)


def draw_tasks(blank: int = 0) -> tuple[Data, Data]:
    """Return a task whose inputs begin below 0, and another; in each, the first is a stranger.

    Args:
        blank: Number of inputs of each that are 0.
    """
    inputs = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
    inputs[:, 0] = -inputs[:, 0].abs()
    inputs[0, 0] *= -1
    inputs[:blank] = 0.0
    labels = torch.arange(24) % 3
    return Data(inputs, labels), Data(inputs * torch.tensor([-1.0, 1, 1, 1]), labels)


@pytest.mark.parametrize(
    ("network", "expected"),
    [(Switched(), 1.0), (Extended(), 20 / 45), (Faint(4, 5), 0.0), (nn.Linear(4, 5), 0.0)],
)
def test_counts_weights_that_serve_one_task(network: nn.Module, expected: float) -> None:
    model = Classifier(nn.Sequential(network), nn.Linear(5, 3)).eval()
    share = measure_branches(model, *draw_tasks())["one_task_weights"]
    assert share == pytest.approx(expected)


def test_inputs_without_gradient_count_only_if_most_lack_one() -> None:
    network = Extended()
    network.all.register_parameter("bias", None)
    model = Classifier(nn.Sequential(network), nn.Linear(5, 3)).eval()
    assert measure_branches(model, *draw_tasks(8)) == {"one_task_weights": 0.5}
    assert measure_branches(model, *draw_tasks(16)) == {}


class MakesItsMaskOnce(nn.Module):
    """A network that makes other calls the second time, with numbers of another shape."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 14)
        self.mask: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        if self.mask is None:
            self.mask = torch.ones(14, 14).tril()
        scale = self.mask.mean().abs()
        outputs: Tensor = self.linear(inputs) * scale
        return outputs


def test_different_calls_in_a_second_run_are_no_error() -> None:
    assert find_elsewhere(MakesItsMaskOnce(), torch.randn(7, 6)) == {}
