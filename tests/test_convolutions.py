"""Random convolutions through which probes read: against patches by hand, and what they may use."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks import Convolutions, RidgeHead
from rootbound.attacks.probes import convolutions
from rootbound.attacks.probes.convolutions import (
    BLOCK_FILTERS,
    BLOCK_GRID,
    FILTERS,
    GRID,
    MOST_WHITENED,
    RIDGE,
    SAMPLES,
    _Filters,
)
from rootbound.core.errors import InputError
from rootbound.data import Data
from rootbound.networks import Classifier, batch_norm_cnn, shallow_cnn, small_text
from rootbound.training import predict


@pytest.fixture
def images() -> Data:
    generator = torch.Generator().manual_seed(3)
    smooth = functional.avg_pool2d(torch.randn(120, 2, 20, 20, generator=generator), 5, 1)
    return Data(smooth, torch.arange(120) % 4)


@pytest.fixture
def network() -> Classifier:
    return shallow_cnn(classes=4, shape=(2, 16, 16), seed=1)


def read_by_hand(images: Data, size: int) -> Tensor:
    """Return the features of inputs: unfolded patches, in float64, one after the other."""
    inputs = images.inputs.double()
    patches = functional.unfold(inputs, size, padding=size // 2).transpose(1, 2)
    kept = images.subset(SAMPLES).inputs.double()
    known = functional.unfold(kept, size, padding=size // 2).transpose(1, 2).flatten(0, 1)
    mean, covariance = known.mean(0), torch.cov(known.T, correction=0)
    variances, axes = torch.linalg.eigh(covariance)
    whitening = axes @ torch.diag((variances + RIDGE * variances.mean()).rsqrt()) @ axes.T
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(FILTERS, len(mean), generator=generator, dtype=torch.float64)
    deviation = ((known - mean) @ whitening @ drawn.T).std(0, correction=0)
    answers = ((patches - mean) @ whitening @ drawn.T / deviation).relu()
    maps = answers.transpose(1, 2).unflatten(2, inputs.shape[2:])
    return functional.adaptive_avg_pool2d(maps, GRID).flatten(1)


@pytest.mark.parametrize("size", [3, 5])
def test_features_of_inputs_equal_a_hand_computation(
    network: Classifier, images: Data, size: int
) -> None:
    found = Convolutions("inputs", size).readout(network, images)(images.inputs)
    assert found.shape == (120, FILTERS * GRID**2)
    assert torch.allclose(found.double(), read_by_hand(images, size), atol=1e-3)


def test_inputs_give_the_same_features_for_every_network(network: Classifier, images: Data) -> None:
    """So a probe of the inputs gives each arm the same, and nothing counts as a head start."""
    other = batch_norm_cnn(classes=4, shape=(2, 16, 16))
    first, second = (
        Convolutions().readout(model, images)(images.inputs) for model in (network, other)
    )
    assert torch.equal(first, second)


def test_labels_are_not_used(network: Classifier, images: Data) -> None:
    mixed = replace(images, labels=images.labels.flip(0))
    first, second = (
        Convolutions("all blocks").readout(network, data)(images.inputs) for data in (images, mixed)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize(("of", "blocks"), [("inputs", 0), ("first half", 2), ("all blocks", 3)])
def test_blocks_are_read_beside_the_inputs(
    network: Classifier, images: Data, of: str, blocks: int
) -> None:
    reading = Convolutions(of)  # type: ignore[arg-type]
    readout = reading.readout(network, images)
    found, inputs = (
        one.readout(network, images)(images.inputs) for one in (reading, Convolutions())
    )
    assert torch.equal(found[:, : inputs.shape[1]], inputs)
    assert len(list(readout.get_submodule("blocks").children())) == blocks
    assert bool(found.isfinite().all())
    assert not any(weight.requires_grad for weight in readout.parameters())
    of_maps = BLOCK_FILTERS // max(1, blocks) * BLOCK_GRID**2
    width = inputs.shape[1] + min(2, blocks) * of_maps
    if of == "all blocks":  # the last block has features, which are read as they are
        outputs = network.eval().backbone(images.inputs)
        assert torch.allclose(found[:, width:], outputs, atol=1e-5)
        width += outputs.shape[1]
    assert found.shape[1] == width


def test_statistics_and_weights_are_not_changed(images: Data) -> None:
    model = batch_norm_cnn(classes=4, shape=(2, 16, 16)).train()
    before = copy.deepcopy(model.state_dict())
    Convolutions("all blocks").readout(model, images)(images.inputs)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_mode_of_the_network_makes_no_difference(images: Data) -> None:
    model = batch_norm_cnn(classes=4, shape=(2, 16, 16))
    predict(model.train(), images)
    first, second = (
        Convolutions("all blocks").readout(model.train(mode), images)(images.inputs)
        for mode in (True, False)
    )
    assert torch.equal(first, second)


def test_blocks_that_work_in_place_are_read_before(images: Data) -> None:
    first, second = (
        Classifier(
            nn.Sequential(
                nn.Conv2d(2, 3, 3), nn.ReLU(inplace=inplace), nn.Flatten(),
                nn.Linear(3 * 14 * 14, 8), nn.ReLU(inplace=inplace),
            ),
            nn.Linear(8, 4),
        )
        for inplace in (True, False)
    )  # fmt: skip
    second.load_state_dict(first.state_dict())
    features = [
        Convolutions("all blocks").readout(model, images)(images.inputs)
        for model in (first, second)
    ]
    assert len(first.blocks) == 5
    assert torch.equal(*features)


def test_filters_of_wide_maps_have_unit_variance(images: Data) -> None:
    """There are too few patches to whiten them, but each filter still has the same scale."""
    wide = nn.Sequential(nn.Conv2d(2, 40, 1), nn.Conv2d(40, 40, 1), nn.Flatten())
    assert MOST_WHITENED < 40 * 3 * 3
    network = Classifier(wide, nn.Linear(40 * 256, 4))
    readout = Convolutions("all blocks").readout(network, images)
    maps = images.subset(SAMPLES).inputs
    for position, block in enumerate([nn.Identity(), *network.blocks[:-1]]):
        maps = block(maps)
        reader = readout.get_submodule(f"readers.{position}")
        assert isinstance(reader, _Filters)
        answers = reader.answers(maps)
        assert torch.allclose(answers.std((0, 2, 3)), torch.ones(answers.shape[1]), atol=0.01)


def test_large_images_are_read_in_parts(
    network: Classifier, images: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Convolutions("all blocks").readout(network, images)(images.inputs)
    monkeypatch.setattr(convolutions, "AT_ONCE", 5 * FILTERS * 16**2)
    found = Convolutions("all blocks").readout(network, images)(images.inputs)
    assert torch.allclose(found, expected, atol=1e-5)


def test_few_patches_of_large_maps_are_enough(
    network: Classifier, images: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their number is limited; what a filter answers has nearly the same scale."""
    monkeypatch.setattr(convolutions, "MOST_NUMBERS", SAMPLES * 2 * 9 * 64)
    reader = Convolutions().readout(network, images).get_submodule("readers.0")
    assert isinstance(reader, _Filters)
    answers = reader.answers(images.inputs)
    assert torch.allclose(answers.std((0, 2, 3)), torch.ones(FILTERS), atol=0.15)


def test_constant_maps_are_finite(network: Classifier) -> None:
    black = Data(torch.zeros(20, 2, 16, 16), torch.arange(20) % 4)
    found = Convolutions("all blocks").readout(network, black)(black.inputs)
    assert bool(found.isfinite().all())


def test_inputs_that_are_not_maps_are_read_as_they_are(images: Data) -> None:
    """A network may convolve inputs that it has first made into images itself."""
    reshaping = nn.Sequential(nn.Unflatten(1, (2, 16, 16)), nn.Conv2d(2, 4, 3), nn.Flatten())
    network = Classifier(reshaping, nn.Linear(4 * 14 * 14, 4))
    flat = Data(images.inputs.flatten(1), images.labels)
    readout = Convolutions("all blocks").readout(network, flat)
    assert torch.equal(readout(flat.inputs)[:, : 2 * 16**2], flat.inputs)


def test_applies_to_networks_that_convolve() -> None:
    dense = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(256, 8)), nn.Linear(8, 2))
    assert Convolutions().applies_to(shallow_cnn(classes=2, shape=(1, 16, 16)))
    assert not Convolutions().applies_to(dense)
    assert not Convolutions().applies_to(small_text(2, (12,)))
    assert not RidgeHead(reading=Convolutions()).applies_to(dense)


def test_refuses_unknown_places() -> None:
    with pytest.raises(InputError, match="did you mean 'inputs'"):
        Convolutions("input")  # type: ignore[arg-type]


def test_each_place_is_its_own_family() -> None:
    families = {
        RidgeHead(reading=Convolutions(of, size)).family
        for of in ("inputs", "first half", "all blocks")
        for size in (3, 5)
    }
    assert len(families) == 6
    assert "probe, random 3 x 3 convolutions of the inputs" in families
