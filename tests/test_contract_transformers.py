"""What every architecture of `transformers` can do: one row for each."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from _pytest.mark import ParameterSet
from torch import Tensor, nn

from rootbound import datasets
from rootbound.attacks import (
    Budget,
    ExactLastLayer,
    FineTune,
    LastLayer,
    LoRA,
    Repaired,
)
from rootbound.attacks.repairs import ReinitialiseLast
from rootbound.data import PADDING, TaskPair
from rootbound.evaluation import evaluate
from rootbound.methods import BestResponse, Schedule
from rootbound.networks import from_transformers, to_transformers
from rootbound.networks.hugging_face.passing import Texts
from rootbound.networks.weights import own_weights
from rootbound.publishing import Origin, load_model, save_model
from rootbound.records import Configuration
from rootbound.suites import Suite
from rootbound.training import Recipe
from test_networks import letter_tasks, text_tasks
from tiny import transformers
from toy import toy_dataset

ORIGIN = Origin(
    Configuration("Plain", {}), "undefended", "toy", "toy", "0-2", "3-5", seed=1, shared=False
)
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
ENCODER: dict[str, Any] = {**SIZES, "vocab_size": 40, "max_position_embeddings": 18}
LETTERS = 8
DECODER: dict[str, Any] = {
    **ENCODER, "vocab_size": LETTERS, "num_key_value_heads": 2, "head_dim": 8,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GPT_2: dict[str, Any] = {
    "vocab_size": LETTERS, "n_positions": 18, "n_embd": 16, "n_layer": 4, "n_head": 2,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
PATCHES: dict[str, Any] = {**SIZES, "image_size": 16, "patch_size": 4}
STAGES: dict[str, Any] = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
DISTANCES = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 4}
WINDOWS: dict[str, Any] = {**DECODER, "sliding_window": 3}


@dataclass(frozen=True)
class Row:
    """An architecture.

    Args:
        model_type: Its name in the library.
        kind: What stands behind `For` in the name of the network's class.
        settings: A small configuration.
        blocks: How many blocks are found at least.
    """

    model_type: str
    kind: str
    settings: dict[str, Any] = field(hash=False)
    blocks: int = 6

    def make(self, seed: int = 0) -> Any:
        """Return a network with random weights, also where the library begins with zeros."""
        classes = {} if self.kind == "CausalLM" else {"num_labels": 3}
        config = transformers.AutoConfig.for_model(self.model_type, **self.settings, **classes)
        lists = getattr(transformers, f"AutoModelFor{self.kind}")._model_mapping[type(config)]
        made = lists[0] if isinstance(lists, tuple) else lists
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = made._from_config(config, attn_implementation="eager", dtype=torch.float32)
            for value in network.parameters():
                value.data += 0.1 * torch.randn_like(value)
        return network.eval()

    @property
    def images(self) -> bool:
        """Whether it takes images."""
        return self.kind == "ImageClassification"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sample."""
        side = self.settings.get("image_size", self.settings.get("side", 32))
        return (3, side, side) if self.images else (10,)

    def samples(self) -> Tensor:
        """Return images, or texts of 10, 6, 1 and 3 tokens."""
        generator = torch.Generator().manual_seed(1)
        if self.images:
            return torch.randn(4, *self.shape, generator=generator)
        highest = self.settings["vocab_size"]
        tokens = torch.randint(3, highest, (4, 10), generator=generator)
        for row, length in enumerate((10, 6, 1, 3)):
            tokens[row, length:] = PADDING
        return tokens

    def tasks(self) -> TaskPair:
        """Return tasks that it can be trained for."""
        if self.images:
            return image_tasks(self.shape)
        return letter_tasks() if self.kind == "CausalLM" else text_tasks()


@cache
def image_tasks(shape: tuple[int, int, int]) -> TaskPair:
    return datasets.fitted(toy_dataset(), shape).split([0, 1, 2], [3, 4, 5])


TEXT, IMAGE, LANGUAGE = "SequenceClassification", "ImageClassification", "CausalLM"
ROWS = {
    "BERT": Row("bert", TEXT, ENCODER),
    "RoBERTa": Row("roberta", TEXT, {**ENCODER, "pad_token_id": 1}),
    "DistilBERT": Row(
        "distilbert",
        TEXT,
        {
            "vocab_size": 40, "max_position_embeddings": 18, "dim": 16, "n_layers": 4,
            "n_heads": 2, "hidden_dim": 24,
        },
    ),
    "ELECTRA": Row("electra", TEXT, {**ENCODER, "embedding_size": 8}),
    "DeBERTa-v2": Row(
        "deberta-v2", TEXT, {**ENCODER, **DISTANCES, "norm_rel_ebd": "layer_norm"}
    ),
    "DeBERTa-v2 with a convolution": Row(
        "deberta-v2", TEXT, {**ENCODER, **DISTANCES, "conv_kernel_size": 3, "conv_act": "gelu"}, 5
    ),
    "ALBERT": Row("albert", TEXT, {**ENCODER, "embedding_size": 8}),
    "MPNet": Row("mpnet", TEXT, {**ENCODER, "pad_token_id": 1}),
    "XLM-R": Row("xlm-roberta", TEXT, {**ENCODER, "pad_token_id": 1}),
    "GPT-2, a classifier": Row("gpt2", TEXT, {**GPT_2, "vocab_size": 40}),
    "Llama, a classifier": Row("llama", TEXT, {**DECODER, "vocab_size": 40}),
    "ViT": Row("vit", IMAGE, PATCHES),
    "DeiT": Row("deit", IMAGE, PATCHES),
    "BEiT": Row("beit", IMAGE, PATCHES),
    "Swin": Row(
        "swin",
        IMAGE,
        {
            "image_size": 16, "patch_size": 2, "embed_dim": 8, "depths": [1, 2],
            "num_heads": [1, 2], "window_size": 4,
        },
        4,
    ),
    "ConvNeXtV2": Row("convnextv2", IMAGE, {**STAGES, "num_stages": 4, "image_size": 32}),
    "ResNet": Row("resnet", IMAGE, {**STAGES, "embedding_size": 8, "layer_type": "basic"}, 5),
    "RegNet": Row("regnet", IMAGE, {**STAGES, "embedding_size": 8, "groups_width": 4}, 5),
    "MobileNetV2": Row(
        "mobilenet_v2", IMAGE, {"depth_multiplier": 0.1, "image_size": 16}, 16
    ),
    "DINOv2": Row("dinov2", IMAGE, PATCHES),
    "CLIP, its vision part": Row(
        "clip", IMAGE, {"vision_config": PATCHES, "text_config": ENCODER, "image_size": 16}
    ),
    "GPT-2": Row("gpt2", LANGUAGE, GPT_2),
    "GPT-NeoX": Row("gpt_neox", LANGUAGE, {**ENCODER, "vocab_size": LETTERS, "pad_token_id": 0}),
    "Llama": Row("llama", LANGUAGE, DECODER),
    "Mistral": Row("mistral", LANGUAGE, WINDOWS),
    "Qwen2": Row(
        "qwen2", LANGUAGE, {**WINDOWS, "use_sliding_window": True, "max_window_layers": 2}
    ),
    "Qwen3": Row("qwen3", LANGUAGE, DECODER),
    "Gemma 2": Row("gemma2", LANGUAGE, {**WINDOWS, "query_pre_attn_scalar": 8}),
    "Gemma 3": Row("gemma3_text", LANGUAGE, WINDOWS),
    "Phi-3": Row("phi3", LANGUAGE, DECODER),
    "OPT": Row(
        "opt",
        LANGUAGE,
        {
            "vocab_size": LETTERS, "max_position_embeddings": 18, "hidden_size": 16,
            "num_hidden_layers": 4, "num_attention_heads": 2, "ffn_dim": 24,
            "word_embed_proj_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        },
    ),
}  # fmt: skip
QUICK, TRAINED_QUICKLY = ("BERT", "GPT-2", "Llama", "ViT"), ("Llama",)


def mark(name: str, quick: tuple[str, ...]) -> ParameterSet:
    return pytest.param(ROWS[name], id=name, marks=[] if name in quick else [pytest.mark.slow])


rows = pytest.mark.parametrize("row", [mark(name, QUICK) for name in ROWS])


def run_network(network: Any, samples: Tensor) -> Tensor:
    """Return the library's own logits, of the last token where it has some for each."""
    if samples.is_floating_point():
        logits: Tensor = network(samples).logits
        return logits
    passing = Texts(network)
    given = passing.prepare(samples)
    return passing.finish(passing.call(network, given), given)


def differentiate(outputs: Tensor, network: nn.Module) -> list[Tensor | None]:
    weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(2))
    parameters = list(network.parameters())
    return list(torch.autograd.grad((outputs * weights).sum(), parameters, allow_unused=True))


@rows
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_blocks_compute_the_network(row: Row, training: bool) -> None:
    """To the last bit, with the same random stream, and so do the gradients."""
    network, samples = row.make(), row.samples()
    model = from_transformers(network)
    assert len(model.blocks) >= row.blocks
    network.train(training)
    model.train(training)
    torch.manual_seed(3)
    expected = run_network(network, samples)
    stream, gradients = torch.get_rng_state(), differentiate(expected, network)
    torch.manual_seed(3)
    outputs = model(samples)
    assert float(outputs.detach().std()) > 1e-2, "a comparison of nothing"
    assert torch.equal(torch.get_rng_state(), stream)
    found = differentiate(outputs, network)
    if row.kind == LANGUAGE:  # the head is asked once, not at every position
        torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(found, gradients, rtol=1e-4, atol=1e-5)
        return
    assert torch.equal(outputs, expected)
    for (name, _), own, of_blocks in zip(network.named_parameters(), gradients, found, strict=True):
        assert (own is None) == (of_blocks is None), name
        assert own is None or of_blocks is None or torch.equal(own, of_blocks), name


@rows
def test_cutting_anywhere_changes_nothing(row: Row) -> None:
    model, samples = from_transformers(row.make()).eval(), row.samples()
    with torch.no_grad():
        expected = model(samples)
        for trained in range(len(model.blocks) + 1):
            prefix, rest = model.split(trained)
            # A copy, because what is kept of a frozen part has no attributes.
            assert torch.equal(rest(prefix(samples).clone()), expected), trained


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Swin", "ConvNeXtV2", "ResNet", "DINOv2"])
def test_cuts_networks_for_other_image_sizes(name: str) -> None:
    row = ROWS[name]
    network = row.make()
    model = from_transformers(network).eval()
    _, height, width = row.shape
    samples = torch.randn(2, 3, 2 * height, 2 * width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        # Of this very network: Swin keeps windows as they were for the smallest images it has seen.
        expected = network(samples).logits
        assert torch.equal(model(samples), expected)
        for trained in range(len(model.blocks) + 1):
            prefix, rest = copy.deepcopy(model).split(trained)
            assert torch.equal(rest(prefix(samples).clone()), expected), trained


@rows
def test_every_weight_keeps_its_name_in_one_block(row: Row) -> None:
    network = row.make()
    model = from_transformers(network)
    weights = own_weights(model)
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    owners: dict[Tensor, int] = {}
    for block in model.blocks:
        for parameter in block.parameters():
            owners[parameter] = owners.get(parameter, 0) + 1
    shared = row.model_type == "albert"
    assert shared or set(owners.values()) == {1}
    assert {*owners, *model.head.parameters()} == set(network.parameters())


@rows
def test_saves_loads_and_unwraps(row: Row, tmp_path: Path) -> None:
    network, samples = row.make(), row.samples()
    model = from_transformers(network).eval()
    save_model(model, tmp_path / "m", row.shape, ORIGIN)
    loaded, origin = load_model(tmp_path / "m")
    assert origin == ORIGIN
    given_back = to_transformers(loaded)
    assert type(given_back) is type(network)
    for name, value in network.state_dict().items():
        assert torch.equal(given_back.state_dict()[name], value), name
    # Convolutions are rounded by where weights happen to lie in memory.
    torch.testing.assert_close(loaded.eval()(samples), model(samples), rtol=0, atol=1e-6)


@rows
def test_copies_sends_and_unwraps(row: Row) -> None:
    network, samples = row.make(), row.samples()
    model = from_transformers(network).eval()
    unwrapped = model.unwrapped()
    assert type(unwrapped) is type(network)
    assert unwrapped.state_dict().keys() == network.state_dict().keys()
    with torch.no_grad():
        expected = model(samples)
        assert torch.equal(run_network(unwrapped.eval(), samples), run_network(network, samples))
        assert torch.equal(pickle.loads(pickle.dumps(model))(samples), expected)
        finer = copy.deepcopy(model).double()
        given = samples.double() if row.images else samples
        prefix, rest = finer.split(2)
        found = rest(prefix(given).clone())
        # Where nothing within a window counts, the library itself has NaN in that precision.
        if bool(run_network(copy.deepcopy(network).double(), given).isfinite().all()):
            torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-5)
        else:
            assert "sliding_window" in row.settings


@rows
def test_draws_fresh_weights(row: Row) -> None:
    model = from_transformers(row.make())
    drawn, again, other = (model.reinitialised(seed) for seed in (1, 1, 2))
    weights = own_weights(model)
    for name, value in own_weights(drawn).items():
        assert torch.equal(value, own_weights(again)[name]), name
        if value.is_floating_point() and value.dim() > 1:
            constant = len(value.unique()) == 1
            assert not torch.equal(value, weights[name]), name
            assert constant or not torch.equal(value, own_weights(other)[name]), name


@rows
def test_redrawing_the_last_blocks_keeps_the_others(row: Row) -> None:
    """Weights that all layers share, as ALBERT's, are no longer shared then."""
    model = from_transformers(row.make())
    drawn = model.reinitialised(1, 2)
    for number, (old, new) in enumerate(zip(model.blocks, drawn.blocks, strict=True)):
        kept = all(
            torch.equal(value, new.state_dict()[name]) for name, value in old.state_dict().items()
        )
        assert kept == (number < len(model.blocks) - 2), number
    assert bool(drawn.eval()(row.samples()).isfinite().all())


ALL_LAYERS = FineTune(None, "kept", "adam", 1e-2)
IN_TURN = (
    LastLayer(), ExactLastLayer(), FineTune(2), Repaired(ReinitialiseLast(1), ALL_LAYERS)
)  # fmt: skip


@pytest.mark.usefixtures("one_behaviour")
@pytest.mark.parametrize("row", [mark(name, TRAINED_QUICKLY) for name in ROWS])
def test_trains_and_attacks(row: Row) -> None:
    """All layers and adapters are trained in every network, one more attack takes its turn."""
    tasks, turn = row.tasks(), list(ROWS.values()).index(row)
    suite = Suite("contract-1", (ALL_LAYERS, LoRA(), IN_TURN[turn % len(IN_TURN)]), (Budget(5, 2),))
    recipe = Recipe(epochs=1, batch_size=60, learning_rate=3e-3)
    method = BestResponse(recipe, schedule=Schedule(first_block_until=0.5, finishing_steps=2))
    defended = method.fit(from_transformers(row.make()), tasks)
    found = evaluate(defended, tasks, suite=suite, seeds=1, workers=1)
    assert found.complete
    assert {record.arm for record in found.records} == {"defended", "scratch"}
    assert {record.error for record in found.records} == {None}
