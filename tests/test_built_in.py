"""The built-in networks, their layers and what they pass on, computed another way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.networks import (
    MODELS,
    Classifier,
    batch_norm_cnn,
    resnet_18,
    resnet_20,
    small_text,
    small_vit,
)
from rootbound.networks.block_outputs import (
    MOST_FEATURES,
    average_states,
    bag_tokens,
    exchange_padding,
    find_last,
    join_mask,
    pool_outputs,
    split_mask,
    trim_padding,
)
from rootbound.networks.layers import freeze_running_statistics, run_with_preactivation
from rootbound.networks.resnet import ResidualBlock
from rootbound.networks.text import MeanOverWords, Words
from rootbound.networks.vit import Patches, TransformerBlock

# Texts of several lengths; the third has padding inside, and the fourth is empty.
TOKENS = torch.tensor([[3, 5, 7, 0], [9, 0, 0, 0], [4, 0, 6, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": 3}, "got an unexpected keyword argument 'blocks'; correct the call"),
        ({"classes": "3"}, "a whole number for classes; got '3'; write one"),
        ({"classes": 0}, "classes of at least 1; got 0; raise it"),
        ({"seed": "x"}, "a whole number for seed; got 'x'; write one"),
        ({"seed": -1}, "seed of at least 0 and below 4.29497e+09; got -1; raise it"),
        ({"shape": 7}, "got shape 7; "),
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_refuses_a_wrong_argument_in_one_line(
    name: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as raised:
        MODELS[name](**{"classes": 3, **arguments})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_call_without_classes_names_the_arguments() -> None:
    expected = "for resnet_20 the arguments classes, shape, seed, width; got a call without the"
    with pytest.raises(InputError, match=expected):
        resnet_20()  # type: ignore[call-arg]


@pytest.mark.parametrize("make", [small_vit, small_text])
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 40}, "a width that is a multiple of 32; got 40; correct it"),
        ({"depth": 0}, "depth of at least 1; got 0; raise it"),
    ],
)
def test_refuses_impossible_transformer_sizes_in_one_line(
    make: Callable[..., Classifier], sizes: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make(3, **sizes)


@pytest.mark.parametrize("masked", [False, True])
def test_transformer_block_equals_that_of_torch(masked: bool) -> None:
    torch.manual_seed(0)
    block, width, heads = TransformerBlock(12, 3), 12, 3
    other = nn.TransformerEncoderLayer(
        width, heads, 4 * width, 0.0, functional.gelu, batch_first=True, norm_first=True
    )
    attention: nn.MultiheadAttention = other.self_attn
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(std=0.5)
        assert attention.in_proj_weight is not None
        attention.in_proj_weight.copy_(block.attention.mix.weight)
        attention.in_proj_bias.copy_(block.attention.mix.bias)
    first, _, second = block.mlp
    for own, theirs in (
        (block.attention.project, attention.out_proj),
        (block.first_norm, other.norm1),
        (block.second_norm, other.norm2),
        (first, other.linear1),
        (second, other.linear2),
    ):
        theirs.load_state_dict(own.state_dict())
    tokens = torch.randn(4, 5, width)
    mask = torch.arange(5) < torch.tensor([[5], [1], [3], [4]]) if masked else None
    expected = other(tokens, src_key_padding_mask=None if mask is None else ~mask)
    counts = torch.ones(4, 5, dtype=torch.bool) if mask is None else mask
    torch.testing.assert_close(block(tokens, mask)[counts], expected[counts], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(3, 3, 1), (3, 6, 2), (2, 5, 2)])
def test_residual_block_equals_its_formula(inputs: int, outputs: int, stride: int) -> None:
    torch.manual_seed(0)
    block = ResidualBlock(inputs, outputs, stride)
    with torch.no_grad():
        for value in (*block.parameters(), *block.buffers()):
            if value.is_floating_point():
                value.uniform_(0.5, 1.5)
        block.first.weight.sub_(1)
        block.second.weight.sub_(1)

    def normed(norm: nn.BatchNorm2d, values: Tensor) -> Tensor:
        mean, variance, weight, bias = (
            one.view(-1, 1, 1)
            for one in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            if one is not None
        )
        return (values - mean) / (variance + norm.eps).sqrt() * weight + bias

    samples = torch.randn(2, inputs, 5, 7)
    hidden = functional.conv2d(samples, block.first.weight, None, stride, 1)
    hidden = functional.conv2d(
        normed(block.first_norm, hidden).clamp_min(0), block.second.weight, None, 1, 1
    )
    expected = normed(block.second_norm, hidden)
    first = (outputs - inputs) // 2  # before and after these channels there are zeros
    for channel, row, column in product(range(inputs), *map(range, expected.shape[2:])):
        expected[:, first + channel, row, column] += samples[
            :, channel, stride * row, stride * column
        ]
    torch.testing.assert_close(block.eval()(samples), expected.clamp_min(0), rtol=1e-5, atol=1e-5)


def test_blocks_halve_images_as_in_the_papers() -> None:
    samples = torch.randn(1, 3, 32, 32)
    sizes: dict[str, list[tuple[int, int]]] = {}
    models = (resnet_20(2), resnet_18(2, width=8), batch_norm_cnn(2))
    with torch.no_grad():
        for model in models:
            outputs, sizes[model.architecture] = samples, []
            for block in model.eval().blocks[:-1]:
                outputs = block(outputs)
                sizes[model.architecture].append((outputs.shape[1], outputs.shape[2]))
                assert outputs.shape[2] == outputs.shape[3]
    assert sizes == {
        "resnet_20": [(16, 32)] * 4 + [(32, 16)] * 3 + [(64, 8)] * 2,
        "resnet_18": [(8, 32)] * 3 + [(16, 16)] * 2 + [(32, 8)] * 2 + [(64, 4)],
        "batch_norm_cnn": [(32, 32), (64, 16), (64, 16), (128, 8), (128, 4)],
    }


def test_each_patch_is_one_token_with_its_position() -> None:
    torch.manual_seed(0)
    patches, samples = Patches((2, 6, 11), 4, 5), torch.randn(3, 2, 6, 11)
    padded = torch.zeros(3, 2, 8, 12)
    padded[:, :, :6, :11] = samples
    weight, bias = patches.project.weight.flatten(1), patches.project.bias
    assert bias is not None
    tokens = patches(samples)
    assert tokens.shape == (3, 6, 5)
    for number, (row, column) in enumerate(product(range(2), range(3))):
        square = padded[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].flatten(1)
        expected = square @ weight.T + bias + patches.positions[0, number]
        torch.testing.assert_close(tokens[:, number], expected, rtol=1e-5, atol=1e-5)


def test_text_model_reads_word_order() -> None:
    model = small_text(2, (4,), vocabulary=8, width=32).eval()
    words, (*_, last) = model.blocks[0], model.blocks[-1].children()
    assert isinstance(words, Words) and isinstance(last, MeanOverWords)
    states, mask = split_mask(words(TOKENS))
    for row, place in product(range(4), range(3)):
        token = int(TOKENS[row, place])
        assert bool(mask[row, place]) == (token != 0 or place == 0)
        expected = words.meanings.weight[token % 8] + words.places.weight[place]
        assert torch.equal(states[row, place], expected * mask[row, place])
    one_by_one = [
        torch.stack([last.norm(state) for state in row[kept]]).mean(0)
        for row, kept in zip(states, mask, strict=True)
    ]
    torch.testing.assert_close(last(words(TOKENS)), torch.stack(one_by_one))
    wider = functional.pad(TOKENS[:, :3], (0, 1))
    torch.testing.assert_close(model(TOKENS[:, :3]), model(wider), rtol=0, atol=1e-6)
    for row, length in enumerate((3, 1, 3, 1)):
        alone = model(TOKENS[row : row + 1, :length])
        torch.testing.assert_close(alone[0], model(TOKENS)[row], rtol=0, atol=1e-5)


def test_masks_and_bags_equal_brute_force() -> None:
    tokens, mask = trim_padding(TOKENS)
    assert tokens.tolist() == TOKENS[:, :3].tolist()
    kept = [[0, 1, 2], [0], [0, 2], [0]]
    assert [row.nonzero().flatten().tolist() for row in mask] == kept
    assert find_last(mask).tolist() == [row[-1] for row in kept]
    states = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    means = [states[row, places].mean(0) for row, places in enumerate(kept)]
    torch.testing.assert_close(average_states(states, mask), torch.stack(means))
    joined = join_mask(states, mask)
    assert torch.equal(joined, joined * mask.unsqueeze(2)), "what does not count is not zero"
    assert torch.equal(split_mask(functional.pad(joined, (0, 0, 0, 2)))[1][:, :3], mask)
    bags = bag_tokens(TOKENS, size=4)
    for row, bag in zip(TOKENS.tolist(), bags.tolist(), strict=True):
        known = [token % 4 for token in row if token]
        expected = [known.count(number) / max(1, len(known)) for number in range(4)]
        assert bag == pytest.approx(expected)


class Crossed(nn.Module):
    """Its last activation is defined first, and works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.ReLU(inplace=True)
        self.first = nn.Tanh()
        self.linear = nn.Linear(3, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.last(self.linear(self.first(inputs)))
        return outputs


def test_finds_the_input_of_the_last_activation() -> None:
    torch.manual_seed(0)
    block, samples = Crossed(), torch.randn(9, 3)
    outputs, before = run_with_preactivation(block, samples)
    expected = block.linear(samples.tanh())
    assert bool((expected < 0).any())
    assert torch.equal(before, expected)
    assert torch.equal(outputs, expected.clamp_min(0))
    assert not any(part._forward_pre_hooks for part in block.modules())
    outputs, before = run_with_preactivation(block.linear, samples)
    assert outputs is before


def test_running_statistics_are_frozen_only_inside_the_context() -> None:
    torch.manual_seed(0)
    norms = [nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False), nn.BatchNorm1d(3)]
    model, samples = nn.Sequential(*norms).train(), torch.randn(9, 3) + 5
    before = copy.deepcopy(model.state_dict())
    with freeze_running_statistics(model):
        outputs = model(samples)
    assert all(map(torch.equal, model.state_dict().values(), before.values()))
    assert [norm.track_running_stats for norm in norms] == [True, False, True]
    expected = (samples - samples.mean(0)) / samples.std(0, correction=0)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(model(samples), expected, rtol=0, atol=1e-4)
    for norm in (norms[0], norms[2]):
        assert int(norm.num_batches_tracked or 0) == 1
        assert norm.running_var is not None and bool((norm.running_var != 1).all())


@pytest.mark.parametrize("padding", [0, 3, 9])
def test_swaps_padding_both_ways(padding: int) -> None:
    exchanged = exchange_padding(TOKENS, padding)
    swap = {0: padding, padding: 0}
    assert exchanged.tolist() == [[swap.get(one, one) for one in row] for row in TOKENS.tolist()]
    assert torch.equal(exchange_padding(exchanged, padding), TOKENS)


@pytest.mark.parametrize(
    "shape", [(16, 32, 32), (64, 8, 8), (64, 2, 8), (700, 4, 4), (3, 5, 5), (100, 16), (65, 48)]
)
def test_averages_outputs_over_the_finest_grid_that_fits(
    shape: tuple[int, ...],
) -> None:
    channels = shape[0] if len(shape) == 3 else shape[1]
    outputs = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    pooled = pool_outputs(nn.Identity(), outputs)
    assert pooled.dim() == 2
    if outputs[0].numel() <= MOST_FEATURES:
        assert torch.equal(pooled, outputs.flatten(1))
        return
    places = pooled.shape[1] // channels
    assert pooled.shape[1] <= max(MOST_FEATURES, channels)
    if len(shape) == 2:  # tokens
        assert (places + 1) * channels > MOST_FEATURES
        expected = functional.interpolate(outputs.mT, places, mode="area").flatten(1)
    else:
        side = max(one for one in range(1, 33) if one == 1 or one**2 * channels <= MOST_FEATURES)
        grid = [min(side, one) for one in shape[1:]]
        expected = functional.interpolate(outputs, grid, mode="area").flatten(1)
    torch.testing.assert_close(pooled, expected)
