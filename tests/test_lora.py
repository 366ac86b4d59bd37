"""Low-rank adapters: nothing changes at once, and then by no more than the rank."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import tiny
from rootbound.attacks import LoRA
from rootbound.networks import Classifier, from_transformers, shallow_cnn, small_text
from samples import samples_for, shape_for

RANK = 2


def language_model() -> Classifier:
    return from_transformers(tiny.network("gpt2"))


def encoder() -> Classifier:
    return from_transformers(tiny.network("bert"))


def cnn() -> Classifier:
    return shallow_cnn(3, (1, 16, 16))


def text() -> Classifier:
    return small_text(3, shape_for("small_text"))


@pytest.mark.parametrize(
    ("make", "maps"),
    [
        (cnn, ["Conv2d", "Conv2d", "Linear"]),
        (text, ["Linear"] * 8),
        # Attention: query, key, value, output; two of the perceptron; and the pooler.
        (encoder, ["Linear"] * (2 * 6 + 1)),
        # Attention: all three at once, and output; two of the perceptron.
        (language_model, ["Conv1D"] * (2 * 4)),
    ],
)
def test_adapts_every_linear_map(make: Callable[[], Classifier], maps: list[str]) -> None:
    model = make().eval()
    if make in (cnn, text):
        samples = samples_for("shallow_cnn" if make is cnn else "small_text")
    else:
        samples = tiny.samples("bert")
    model = model.with_head(5, seed=0)
    before = model(samples)
    weights = {name: value.clone() for name, value in model.backbone.named_parameters()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trained = LoRA(rank=RANK).trained_parameters(model)
    adapted = {
        name: part
        for name, part in model.backbone.named_modules()
        if parametrize.is_parametrized(part)
    }
    assert [type(part).__name__.removeprefix("Parametrized") for part in adapted.values()] == maps
    # Equal but for the order of sums: changed filters lie in memory in another order.
    torch.testing.assert_close(model(samples), before, rtol=0, atol=1e-6)
    assert len(trained) == 2 * len(maps) + len(list(model.head.parameters()))
    nn.functional.cross_entropy(model(samples), torch.arange(len(samples)) % 5).backward()
    for parameter in trained:
        assert parameter.grad is not None
        parameter.data += torch.randn_like(parameter)
    for name, part in adapted.items():
        change = (part.weight - weights[f"{name}.weight"]).flatten(1).detach()
        assert 0 < int(torch.linalg.matrix_rank(change, rtol=1e-4)) <= RANK, name
    frozen = [value for value in model.backbone.parameters() if not value.requires_grad]
    assert len(frozen) == len(weights)
