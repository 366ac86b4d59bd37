"""Blocks of networks whose layers repeat, whatever their author wrote around them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.networks.blocks.repeated import find_repeated
from rootbound.networks.blocks.sequence import MOST_BLOCKS, BlockSequence

WIDTH = 8


def layer() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.GELU(), nn.Dropout(0.3))


class Stack(nn.Module):
    """Layers in a list, with dropout by a function before and after them."""

    def __init__(self, count: int = 3) -> None:
        super().__init__()
        self.stem = nn.Linear(WIDTH, WIDTH)
        self.layers = nn.ModuleList(layer() for _ in range(count))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, inputs: Tensor) -> Tensor:
        # What a tensor holds decides: no trace of one example holds for another.
        outputs = self.stem(inputs) if float(inputs.sum()) < 1e9 else inputs
        outputs = functional.dropout(outputs, 0.2, self.training)
        for part in self.layers:
            outputs = part(outputs)
        outputs = functional.dropout(outputs, 0.2, self.training)
        normed: Tensor = self.norm(outputs)
        return normed


class Nested(nn.Module):
    """Layers in a sequence, in a module, beside one that is never run."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Module()
        self.body.add_module("stem", nn.Linear(WIDTH, WIDTH))
        self.body.add_module("unused", nn.Linear(WIDTH, 1))
        self.inner = nn.Sequential(*(layer() for _ in range(4)))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.inner(self.body.stem(inputs))  # type: ignore[operator]
        return outputs * 2


class Conditioned(nn.Module):
    """Each layer is given another scale, worked out from weights and from the number of inputs."""

    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(WIDTH, WIDTH)

        def forward(self, outputs: Tensor, scale: Tensor, *, shift: int) -> tuple[Tensor, None]:
            return self.linear(outputs).tanh() * scale + shift, None

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.Embedding(3, WIDTH)
        self.parts = nn.ModuleList(Conditioned.Part() for _ in range(3))
        self.register_buffer("numbers", torch.arange(3), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        scales = self.scales(self.numbers)
        outputs = inputs
        for number, part in enumerate(self.parts):
            outputs, _ = part(outputs, scales[number], shift=number)
        return outputs


class Opened(nn.Module):
    """Parts within parts that are never run as a whole, as many language models are written."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({
            "stems": nn.ModuleList([nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)]),
            "layers": nn.ModuleList(layer() for _ in range(3)),
            "norm": nn.LayerNorm(WIDTH),
        })  # fmt: skip

    def forward(self, inputs: Tensor) -> Tensor:
        first, second = self.inner.stems  # type: ignore[misc]
        outputs = first(inputs) + second(inputs)
        for part in self.inner.layers:  # type: ignore[union-attr]
            outputs = part(outputs)
        normed: Tensor = self.inner.norm(outputs)  # type: ignore[operator]
        return normed


class Again(nn.Module):
    """One layer that runs three times."""

    def __init__(self) -> None:
        super().__init__()
        self.group = nn.ModuleList([layer()])
        self.last = nn.Linear(WIDTH, WIDTH)

    def forward(self, inputs: Tensor) -> Tensor:
        for _ in range(3):
            inputs = self.group[0](inputs)
        outputs: Tensor = self.last(inputs)
        return outputs


NETWORKS = {
    "a list": (Stack, 5),
    "a long list": (lambda: Stack(40), MOST_BLOCKS),
    "nested": (Nested, 5),
    "given something": (Conditioned, 4),
    "opened": (Opened, 5),
    "one layer again": (Again, 4),
}
networks = pytest.mark.parametrize("name", list(NETWORKS))


def inputs() -> Tensor:
    return torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(1))


def make(name: str) -> tuple[nn.Module, BlockSequence]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = NETWORKS[name][0]()
    blocks = find_repeated(network, inputs())
    assert blocks is not None
    return network, BlockSequence(blocks, network)


@networks
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_blocks_compute_the_network(name: str, training: bool) -> None:
    network, blocks = make(name)
    assert len(blocks) == NETWORKS[name][1]
    plain = copy.deepcopy(network).train(training)
    blocks.train(training)
    torch.manual_seed(3)
    expected = plain(inputs())
    stream = torch.get_rng_state()
    torch.manual_seed(3)
    found = blocks(inputs())
    assert torch.equal(found, expected)
    assert torch.equal(torch.get_rng_state(), stream)
    expected.square().sum().backward()
    found.square().sum().backward()
    for (own_name, value), own in zip(network.named_parameters(), plain.parameters(), strict=True):
        assert (own.grad is None) == (value.grad is None), own_name
        assert own.grad is None or value.grad is None or torch.equal(own.grad, value.grad), own_name


@networks
def test_copy_of_the_last_blocks_runs_alone(name: str) -> None:
    _, blocks = make(name)
    blocks.eval()
    expected = blocks(inputs())
    for cut in range(len(blocks)):
        first = copy.deepcopy(nn.Sequential(*list(blocks)[:cut]))
        last = copy.deepcopy(nn.Sequential(*list(blocks)[cut:]))
        assert torch.equal(last(first(inputs()).clone()), expected), cut


@networks
def test_every_weight_keeps_its_name_in_a_block(name: str) -> None:
    network, blocks = make(name)
    assert dict(blocks.named_weights()).keys() == {
        *dict(network.named_parameters()),
        *dict(network.named_buffers()),
    }


@networks
def test_training_changes_the_returned_network(name: str) -> None:
    network, blocks = make(name)
    with torch.no_grad():
        for value in blocks.parameters():
            value.add_(0.1)
    given_back = copy.deepcopy(blocks).give_back().eval()
    assert type(given_back) is type(network)
    assert torch.equal(given_back(inputs()), blocks.eval()(inputs()))


def test_runs_a_part_replaced_in_a_block() -> None:
    _, blocks = make("a list")
    blocks.eval()
    before = blocks(inputs())
    for path in ("stem", "layers.1.2", "norm"):
        changed = copy.deepcopy(blocks)
        for block in changed:
            network = block.get_submodule("network")
            if path in dict(network.named_modules()):
                parent, _, name = path.rpartition(".")
                setattr(network.get_submodule(parent), name, nn.Tanh())
        assert not torch.allclose(changed(inputs()), before), path


class TwoStates(nn.Module):
    """A second tensor goes beside the layers: no state alone is everything."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer() for _ in range(3))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs, total = inputs, inputs
        for part in self.layers:
            outputs = part(outputs)
            total = total + outputs
        return total


@pytest.mark.parametrize(
    "make", [TwoStates, lambda: nn.Linear(WIDTH, WIDTH), nn.Identity], ids=["two", "one", "none"]
)
def test_networks_without_repeated_layers_have_no_blocks(make: type[nn.Module]) -> None:
    assert find_repeated(make(), inputs()) is None
