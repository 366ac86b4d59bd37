"""Readings of a network at every place, against its blocks run by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks import Reading
from rootbound.attacks.probes.reading import WIDEST
from rootbound.models import Classifier, shallow_cnn


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
    if outputs.dim() == 4 and outputs[0].numel() > WIDEST:
        side = int((WIDEST / outputs.shape[1]) ** 0.5)
        size = (min(side, outputs.shape[2]), min(side, outputs.shape[3]))
        outputs = functional.adaptive_avg_pool2d(outputs, size)
    return outputs.flatten(1)


@pytest.mark.parametrize("side", ["after", "before"])
@pytest.mark.parametrize("before_last", [0, 1, 2])
def test_every_place(network: Classifier, images: Tensor, before_last: int, side: str) -> None:
    reading = Reading(before_last, "after" if side == "after" else "before")
    assert reading.applies_to(network)
    weights = copy.deepcopy(network.state_dict())
    found = reading.readout(network)(images)
    expected = pooled(by_hand(network, images, 3 - before_last, side))
    assert torch.allclose(found, expected, atol=1e-6)
    assert found.shape[1] <= WIDEST
    now = network.state_dict()
    assert all(torch.equal(weights[name], now[name]) for name in weights)
    assert not any(part._forward_pre_hooks for part in network.modules())


def test_all_blocks_together(network: Classifier, images: Tensor) -> None:
    found = Reading("all").readout(network)(images)
    parts = [pooled(by_hand(network, images, count, "after")) for count in (1, 2, 3)]
    assert torch.allclose(found, torch.cat(parts, dim=1), atol=1e-6)


def test_the_input_counts_as_a_block(network: Classifier, images: Tensor) -> None:
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


def test_a_wrapped_network_is_one_block() -> None:
    network = Classifier.wrap(Whole(), "fc").eval()
    inputs = torch.randn(7, 6)
    before = Reading(0, "before").readout(network)(inputs)
    assert torch.allclose(before.relu(), Reading().readout(network)(inputs))
    assert not torch.equal(before, before.relu())
    assert not Reading(2).applies_to(network)


def test_places_in_words() -> None:
    names = (str(Reading()), str(Reading(1, "before")), str(Reading("all")))
    assert names == ("the last block", "1 before the last block, before activation", "all blocks")
