"""What a configuration of `transformers` says: class, task, sizes, padding and shapes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from rootbound.core.errors import InputError
from rootbound.networks import from_transformers
from rootbound.networks.hugging_face.configuration import (
    choose_class,
    find_auto_class,
    parse_description,
    read_fixed_shape,
)
from rootbound.networks.hugging_face.passing import find_padding
from tiny import transformers

SEQUENCES, LANGUAGE = "AutoModelForSequenceClassification", "AutoModelForCausalLM"
IMAGES = "AutoModelForImageClassification"


@pytest.mark.parametrize(
    ("description", "auto_class", "name", "new_head"),
    [
        # BERT is in the library's list of networks that predict tokens, too.
        ({"model_type": "bert"}, SEQUENCES, "BertForSequenceClassification", False),
        ({"model_type": "gpt2"}, LANGUAGE, "GPT2LMHeadModel", False),
        ({"model_type": "vit"}, IMAGES, "ViTForImageClassification", False),
        (
            {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
            SEQUENCES, "BertForSequenceClassification", True,
        ),
        (
            {"model_type": "gpt2", "architectures": ["GPT2Model"]},
            SEQUENCES, "GPT2ForSequenceClassification", True,
        ),
        (
            {"model_type": "gpt2", "architectures": ["GPT2ForSequenceClassification"]},
            SEQUENCES, "GPT2ForSequenceClassification", False,
        ),
        (
            {"model_type": "bert", "architectures": ["BertLMHeadModel"]},
            LANGUAGE, "BertLMHeadModel", False,
        ),
    ],
)  # fmt: skip
def test_picks_the_named_or_fitting_class(
    description: dict[str, Any], auto_class: str, name: str, new_head: bool
) -> None:
    assert choose_class(description) == (auto_class, name, new_head)
    assert find_auto_class(f"transformers:{json.dumps(description)}") == auto_class


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden_size": 10**7 + 1},
        {"hidden_size": -(10**7) - 1},
        {"dropout": math.nan},
        {"n_layer": 1001},
        {"num_hidden_layers": 1001},
        {"depths": [2, 1001]},
        {"hidden_sizes": [8, 10**8]},
        {"vision_config": {"num_hidden_layers": 1001}},
        {"text_config": {"rope": {"factor": 1e9}}},
    ],
    ids=repr,
)
def test_finds_oversized_fields_at_any_depth(
    sizes: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match=r"is (nan|-?1)"):
        parse_description(json.dumps({"model_type": "bert", **sizes}))


def test_allows_sizes_of_large_networks() -> None:
    large = {"n_layer": 1000, "vocab_size": 10**7, "depths": [1000], "inner": {"size": -(10**7)}}
    assert parse_description(json.dumps(large)) == large


CODE = {
    "auto_map": {"AutoConfig": "code.Config"},
    "attn_implementation": "owner/kernel",
    "_attn_implementation": "owner/kernel",
    "dtype": "float16",
}


def test_drops_code_at_any_depth() -> None:
    given = {"model_type": "clip", "vision_config": {"hidden_size": 8, **CODE}, **CODE}
    left = {"model_type": "clip", "vision_config": {"hidden_size": 8}}
    assert parse_description(json.dumps(given)) == left


@pytest.mark.parametrize(
    ("family", "changes", "shape"),
    [
        ("vit", {"image_size": (16, 24)}, (3, 16, 24)),
        ("vit", {"num_channels": 1}, (1, 16, 16)),
        ("resnet", {}, None),
        ("convnext", {"image_size": 32}, None),
        ("bert", {}, None),
    ],
)
def test_only_some_networks_need_one_image_size(
    family: str, changes: dict[str, Any], shape: tuple[int, ...] | None, tmp_path: Path
) -> None:
    network = tiny.network(family, **changes)
    network.save_pretrained(tmp_path)
    assert read_fixed_shape(f"hf:{tmp_path}") == shape
    assert read_fixed_shape(from_transformers(network).architecture) == shape
    if shape is not None:
        assert tuple(network(torch.zeros(1, *shape)).logits.shape) == (1, tiny.CLASSES)


def test_other_networks_state_no_shape(tmp_path: Path) -> None:
    assert read_fixed_shape("shallow_cnn") is None
    assert read_fixed_shape(f"hf:{tmp_path}") is None


@pytest.mark.parametrize(
    ("pad", "end", "padding"),
    [
        (3, 4, 3),
        (None, 4, 4),
        (0, 4, 0),
        (-1, 4, 4),
        (10, 4, 4),
        (9, None, 9),
        (None, [4, 5], 4),
        (None, [], 0),
        (None, None, 0),
    ],
)
def test_padding_comes_from_the_configuration_or_the_end_token(
    pad: int | None, end: Any, padding: int
) -> None:
    config = transformers.GPT2Config(vocab_size=10)
    config.pad_token_id, config.eos_token_id = pad, end
    assert find_padding(config) == padding


def test_classifier_without_padding_reads_the_last_word() -> None:
    """The library itself refuses more than one text then."""
    settings = {**tiny.ROWS["gpt2"], "pad_token_id": None, "eos_token_id": 2, "bos_token_id": 1}
    config = transformers.GPT2Config(**settings, num_labels=3)
    network = transformers.GPT2ForSequenceClassification(config).eval()
    samples = tiny.samples("gpt2")
    samples = samples.where(samples != 2, 3)
    with torch.no_grad():
        expected = [network(row[row != 0][None]).logits[0] for row in samples]
    model = from_transformers(network).eval()
    torch.testing.assert_close(model(samples), torch.stack(expected), rtol=0, atol=1e-5)


def test_refuses_a_token_number_out_of_range() -> None:
    model = from_transformers(tiny.network("bert")).eval()
    assert bool(model(torch.tensor([[3, 39]])).isfinite().all())
    with pytest.raises(InputError, match="tokens below 40; got 40; use its own tokeniser"):
        model(torch.tensor([[3, 40]]))
