"""Readings of a network at every place, against its blocks run by hand."""

from __future__ import annotations

import copy
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks import Reading
from rootbound.core.errors import InputError
from rootbound.networks import Classifier, shallow_cnn, small_vit
from rootbound.networks.block_outputs import MOST_FEATURES


@pytest.fixture
def network() -> Classifier:
    return shallow_cnn(classes=3, shape=(1, 16, 16), seed=1).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def by_hand(network: Classifier, images: Tensor, blocks: int, side: str) -> Tensor:
    outputs = images
    for position, block in enumerate(network.blocks[:blocks]):
        assert isinstance(block, nn.Sequential)
        last = position == blocks - 1
        outputs = block[:-1](outputs) if last and side == "before" else block(outputs)
    return outputs


def pooled(outputs: Tensor) -> Tensor:
    if outputs.dim() == 4 and outputs[0].numel() > MOST_FEATURES:
        side = int((MOST_FEATURES / outputs.shape[1]) ** 0.5)
        size = (min(side, outputs.shape[2]), min(side, outputs.shape[3]))
        outputs = functional.adaptive_avg_pool2d(outputs, size)
    return outputs.flatten(1)


@pytest.mark.parametrize("side", ["after", "before"])
@pytest.mark.parametrize("before_last", [0, 1, 2])
def test_reads_every_place(
    network: Classifier, images: Tensor, before_last: int, side: str
) -> None:
    reading = Reading(before_last, "after" if side == "after" else "before")
    assert reading.applies_to(network)
    weights = copy.deepcopy(network.state_dict())
    found = reading.readout(network)(images)
    expected = pooled(by_hand(network, images, 3 - before_last, side))
    assert torch.allclose(found, expected, atol=1e-6)
    assert found.shape[1] <= MOST_FEATURES
    now = network.state_dict()
    assert all(torch.equal(weights[name], now[name]) for name in weights)
    assert not any(part._forward_pre_hooks for part in network.modules())


def test_reads_all_blocks_together(network: Classifier, images: Tensor) -> None:
    found = Reading("all").readout(network)(images)
    parts = [pooled(by_hand(network, images, count, "after")) for count in (1, 2, 3)]
    assert torch.allclose(found, torch.cat(parts, dim=1), atol=1e-6)


@pytest.mark.parametrize("before_last", [0, 1, 4, "all"])
def test_tokens_are_averaged_over_places(before_last: int | Literal["all"]) -> None:
    network = small_vit(3, (1, 28, 28)).eval()
    images = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    found = Reading(before_last).readout(network)(images)
    assert found.shape[1] <= MOST_FEATURES * (5 if before_last == "all" else 1)
    if before_last == 4:
        tokens = network.blocks[0](images)  # 49 places of 96 numbers, into 5
        places = [tokens[:, 49 * i // 5 : -(-49 * (i + 1) // 5)].mean(1) for i in range(5)]
        expected = torch.stack(places, dim=2).flatten(1)
        assert torch.allclose(found, expected, atol=1e-6)


def test_input_counts_as_a_block(network: Classifier, images: Tensor) -> None:
    assert torch.equal(Reading(3).readout(network)(images), images.flatten(1))
    assert Reading(3).applies_to(network)
    assert not Reading(4).applies_to(network)
    assert not Reading(3, "before").applies_to(network)


class Whole(nn.Module):
    """A network that is not cut into blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU())
        self.fc = nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.fc(self.inside(inputs))
        return outputs


def test_opaque_network_is_one_block() -> None:
    network = Classifier.wrap(Whole(), "fc").eval()
    inputs = torch.randn(7, 6)
    before = Reading(0, "before").readout(network)(inputs)
    assert torch.allclose(before.relu(), Reading().readout(network)(inputs))
    assert not torch.equal(before, before.relu())
    assert not Reading(2).applies_to(network)


def test_in_place_block_spoils_no_other_reading() -> None:
    blocks = nn.Sequential(nn.Linear(6, 5), nn.LeakyReLU(0.1, inplace=True), nn.Linear(5, 4))
    network = Classifier(blocks, nn.Linear(4, 3)).eval()
    inputs = torch.randn(7, 6)
    linear = blocks[0](inputs)
    active = functional.leaky_relu(linear, 0.1)
    expected = torch.cat([linear, active, blocks[2](active)], dim=1)
    assert torch.allclose(Reading("all").readout(network)(inputs), expected, atol=1e-6)


class Crossed(nn.Module):
    """Activations that run in another order than they are defined in, and one that never does."""

    def __init__(self) -> None:
        super().__init__()
        self.second, self.first, self.spare = nn.ReLU(), nn.Tanh(), nn.GELU()

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.second(self.first(inputs) - 0.1)
        return outputs


class Idle(nn.Module):
    """An activation that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + 1.0


def test_last_activation_is_the_last_to_run() -> None:
    inputs = torch.randn(7, 5)
    crossed = Classifier(nn.Sequential(Crossed()), nn.Linear(5, 3)).eval()
    assert torch.allclose(Reading(0, "before").readout(crossed)(inputs), inputs.tanh() - 0.1)
    idle = Classifier(nn.Sequential(Idle()), nn.Linear(5, 3)).eval()
    assert torch.equal(Reading(0, "before").readout(idle)(inputs), inputs + 1.0)


@pytest.mark.parametrize("reading", [Reading(1), Reading(0, "before"), Reading("all")], ids=str)
def test_reading_in_train_mode_does_not_change_statistics(reading: Reading) -> None:
    first = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU())
    network = Classifier(nn.Sequential(first, nn.ReLU()), nn.Linear(5, 3)).train()
    before = copy.deepcopy(network.state_dict())
    readout = reading.readout(network)
    inputs = torch.randn(9, 6)
    assert torch.allclose(readout(inputs)[:1], readout(inputs[:1]), atol=1e-6)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_hooks_are_removed_when_a_block_fails() -> None:
    fresh = Classifier(nn.Sequential(nn.Sequential(nn.ReLU(), nn.Linear(5, 4))), nn.Linear(4, 3))
    broken = Reading(0, "before").readout(fresh)
    with pytest.raises(RuntimeError):
        broken(torch.zeros(2, 6))
    assert not any(part._forward_pre_hooks for part in broken.modules())


def test_refuses_a_block_after_the_last() -> None:
    with pytest.raises(InputError, match="at least 0"):
        Reading(-1)


def test_names_places_in_words() -> None:
    names = (str(Reading()), str(Reading(1, "before")), str(Reading("all")))
    assert names == ("the last block", "1 before the last block, before activation", "all blocks")
